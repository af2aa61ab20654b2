"""Folds of train, dev and test groups, and labels without those of the test group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from foalnet.core.errors import DataError
from foalnet.core.records import Utterance


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One fold, named after its test group: disjoint tuples of group names; dev may be empty.

    >>> Fold(name="S3", train=("S1",), dev=("S2",), test=("S3",)).part_of("S2")
    'dev'
    """

    name: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if the parts share a group, or if train or test is empty."""
        parts = [*self.train, *self.dev, *self.test]
        if len(set(parts)) != len(parts):
            raise ValueError(f"fold {self.name}: train, dev and test share a group: {parts}")
        if not (self.train and self.test):
            raise ValueError(f"fold {self.name}: train and test each need a group")

    def part_of(self, group: str) -> str:
        """Return "train", "dev" or "test" for a group of this fold."""
        for part in ("train", "dev", "test"):
            if group in getattr(self, part):
                return part
        raise KeyError(group)


def loso_dev_session(groups: Iterable[str]) -> list[Fold]:
    """Return one fold per group: it is test, the next one (cyclic, sorted) dev (docs/protocols.md).

    >>> for fold in loso_dev_session(["Session1", "Session2", "Session3"]):
    ...     print(fold.test, fold.dev, fold.train)
    ('Session1',) ('Session2',) ('Session3',)
    ('Session2',) ('Session3',) ('Session1',)
    ('Session3',) ('Session1',) ('Session2',)
    """
    names = sorted(set(groups))
    if len(names) < 3:
        raise DataError(
            f"{len(names)} groups ({', '.join(names) or 'none'}) cannot give train, dev and test",
            action="use a corpus with at least three sessions (or groups of speakers)",
        )
    return [
        Fold(
            name=test,
            test=(test,),
            dev=(names[(i + 1) % len(names)],),
            train=tuple(g for j, g in enumerate(names) if j not in (i, (i + 1) % len(names))),
        )
        for i, test in enumerate(names)
    ]


def loso_all_others(groups: Iterable[str]) -> list[Fold]:
    """Return one fold per group: it is test, all others train, without dev (docs/protocols.md).

    >>> [fold.train for fold in loso_all_others(["Session1", "Session2", "Session3"])]
    [('Session2', 'Session3'), ('Session1', 'Session3'), ('Session1', 'Session2')]
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise DataError(
            f"{len(names)} groups ({', '.join(names) or 'none'}) cannot give train and test",
            action="use a corpus with at least two sessions (or groups of speakers)",
        )
    return [Fold(name=test, test=(test,), dev=(), train=tuple(g for g in names if g != test)) for test in names]


# Split -> function that makes its folds; `four` trains on four of five groups.
SPLITS: dict[str, Callable[[Iterable[str]], list[Fold]]] = {"dev": loso_dev_session, "four": loso_all_others}


def deal_speakers(speakers: Iterable[str], parts: int = 5) -> dict[str, str]:
    """Return speaker -> group ("group1" to "group5"): sorted speakers are dealt to `parts` groups in turn.

    >>> deal_speakers(["carl", "ada", "bea"], parts=2)
    {'ada': 'group1', 'bea': 'group2', 'carl': 'group1'}
    """
    return {speaker: f"group{i % parts + 1}" for i, speaker in enumerate(sorted(set(speakers)))}


def groups_of(utterances: Iterable[Utterance], fold_by: str) -> dict[str, str]:
    """Return utterance key -> group: the session, or with `fold_by: speaker` the speaker's group.

    Raises DataError (exit 3) if a speaker would be in two groups.
    """
    rows = list(utterances)
    if fold_by == "speaker":
        dealt = deal_speakers(u.speaker for u in rows)
        return {u.key: dealt[u.speaker] for u in rows}
    groups = {u.key: u.session for u in rows}
    by_speaker: dict[str, str] = {}
    for u in rows:
        if by_speaker.setdefault(u.speaker, u.session) != u.session:
            raise DataError(
                f"speaker {u.speaker} is in {by_speaker[u.speaker]} and {u.session}: folds would share a speaker",
                utterance=u.key,
                action="fold this corpus by speaker",
            )
    return groups


class FoldLabels:
    """The only source of labels for the trainer of a fold; it has no labels of test utterances.

    >>> fold = Fold(name="S3", train=("S1",), dev=("S2",), test=("S3",))
    >>> known = FoldLabels(fold, {"a": "sad", "b": "sad", "c": "happy"}, {"a": "S1", "b": "S2", "c": "S3"})
    >>> known.keys("test"), known.label("a")
    (['c'], 'sad')
    >>> known.label("c")
    Traceback (most recent call last):
    ValueError: ...
    """

    def __init__(self, fold: Fold, labels: Mapping[str, str], groups: Mapping[str, str]) -> None:
        self.fold = fold
        self._labels = {key: label for key, label in labels.items() if fold.part_of(groups[key]) != "test"}
        self._parts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
        for key in sorted(groups):
            self._parts[fold.part_of(groups[key])].append(key)

    def keys(self, part: str) -> list[str]:
        """Return the sorted utterance keys of "train", "dev" or "test"."""
        return list(self._parts[part])

    def label(self, key: str) -> str:
        """Return the label of a train or dev utterance (ValueError for a test utterance)."""
        if key not in self._labels:
            raise ValueError(f"fold {self.fold.name}: the label of {key} is sealed: it is a test utterance")
        return self._labels[key]
