"""Checks each fold from the predictions: who and what is tested must not be among the utterances that may train.

The check uses no rule of folds: every utterance with a class that is not tested in a fold may train there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from foalnet.core.records import Utterance
from foalnet.evidence.report.phrases import listed, number, plural
from foalnet.evidence.report.results import Results

# Items that an alarm names.
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Sides:
    """A fold's tested utterances and the others with a class; `both`: kind -> its names on both sides.

    Of files, those count whose bytes are equal (SHA-256 of the inventory): a copy under another name counts too.
    """

    fold: str
    tested: int
    others: int
    both: Mapping[str, tuple[str, ...]]

    @property
    def alarms(self) -> list[str]:
        """What is on both sides, with names; [] where all is apart."""
        return [f"fold {self.fold}: {kind} {_few(names)}" for kind, names in self.both.items() if names]


def sides(results: Results) -> list[Sides]:
    """Return each fold of the headline's protocol; [] without a manifest."""
    digests = {file.path: file.sha256 for file in results.inventory.files} if results.inventory else {}
    kinds: dict[str, Callable[[Utterance], set[str]]] = {
        "speakers": lambda u: {u.speaker},
        "dialogues": lambda u: {u.dialogue},
        "files": lambda u: {digests[p] for p in (u.audio, u.dialogue_audio, u.video) if p and digests.get(p)},
    }
    names = {digest: path for path, digest in sorted(digests.items(), reverse=True)}
    fold_of = {key: row.fold for key, row in results.first.rows.items()}
    checked = []
    for fold in results.facts.folds if results.used else ():
        tested = [u for u in results.used if fold_of.get(u.key) == fold]
        others = [u for u in results.used if fold_of.get(u.key) != fold]
        both = {kind: sorted(_all(tested, of) & _all(others, of)) for kind, of in kinds.items()}
        both["files"] = sorted(names[digest] for digest in both["files"])
        checked.append(
            Sides(
                fold=fold,
                tested=len(tested),
                others=len(others),
                both={kind: tuple(each) for kind, each in both.items()},
            )
        )
    return checked


def _all(utterances: Sequence[Utterance], of: Callable[[Utterance], set[str]]) -> set[str]:
    return set().union(*map(of, utterances))


def _few(names: Sequence[str]) -> str:
    more = [f"{number(len(names) - NAMED)} more"] if len(names) > NAMED else []
    return listed([*names[:NAMED], *more])


def apart(checked: Sequence[Sides]) -> str:
    """Return the sentence on folds without an alarm; "" where nothing was checked."""
    if not checked or any(fold.alarms for fold in checked):
        return ""
    where = "the fold" if len(checked) == 1 else f"each of {plural(len(checked), 'fold')}"
    return f"Checked: in {where} no speaker, no dialogue and no file of equal bytes is both tested and free to train."
