"""Says which column of a table of predictions holds what: by its usual names, or as the user says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from foalnet.audit.read import Columns
from foalnet.config import nearest
from foalnet.core.errors import UsageError

# Role -> usual names in the order of preference; case, spaces and hyphens do not count.
NAMES: dict[str, tuple[str, ...]] = {
    "key": (
        "key", "keys", "utterance_id", "utt_id", "uttid", "utt", "utterance", "id", "ids", "file", "filename",
        "file_name", "filepath", "file_path", "path", "wav", "wav_path", "audio", "clip", "segment", "segment_id",
        "sample", "sample_id", "video", "name", "names", "__index_level_0__", "unnamed:_0", "",
    ),
    "label": (
        "label", "labels", "true", "target", "targets", "y_true", "gold", "truth", "ground_truth", "true_label",
        "label_true", "reference", "actual", "emotion", "class", "gt", "y",
    ),
    "predicted": (
        "predicted", "prediction", "predictions", "pred", "preds", "y_pred", "y_hat", "predicted_label", "pred_label",
        "label_pred", "hypothesis", "hyp",
    ),
    "probabilities": (
        "probabilities", "probability", "probs", "prob", "y_prob", "y_probs", "y_proba", "proba", "posteriors",
        "posterior", "softmax", "scores", "y_score", "logits", "logit", "outputs", "output", "log_probs", "logprobs",
    ),
    "fold": ("fold", "fold_id", "cv_fold", "cv", "test_fold", "test_session"),
    "part": ("part", "split", "subset", "partition", "set"),
    "session": ("session", "session_id", "ses"),
    "seed": ("seed", "seeds", "random_seed", "run"),
    "epoch": ("epoch", "epochs"),
    "speaker": ("speaker", "speakers", "speaker_id", "spk", "spk_id", "actor", "actor_id", "subject", "subject_id"),
    "dialogue": ("dialogue", "dialog", "dialogue_id", "dialog_id", "dia_id", "conversation", "conversation_id"),
}  # fmt: skip
CLASS_LISTS = ("classes", "class_names", "label_names", "names", "labels")
# A column of one class: prob_happy, p0, logit_sad, happy_prob. Its group 1 says what the numbers are.
_KIND = r"prob(?:abilit(?:y|ies))?s?|proba|logits?|scores?|softmax|posteriors?|log_?probs?|outputs?|y_prob|y_score"
_FIRST = re.compile(rf"({_KIND}|p|class)[ _.:\[(-]*(.+?)[\])]*", re.IGNORECASE)
_LAST = re.compile(rf"(.+?)[ _.:-]+({_KIND})", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,4}")


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Role -> its column. `probabilities` are one column of lists, or one column of each class.

    `of`: what follows the common beginning of these names; () for a column of lists. `numbered`: they are numbers.
    """

    column: Mapping[str, str]
    probabilities: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    numbered: bool = False


def plain(name: str) -> str:
    """Return a column's name in lower case with _ for spaces and hyphens.

    >>> plain(" Utterance-ID")
    'utterance_id'
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def wanted_of(options: Sequence[str]) -> dict[str, str]:
    """Return role -> column of options such as `key=utt_id`; UsageError (exit 2) for another form or an unknown role.

    >>> wanted_of(["key=utt_id", "probabilities=p1,p2"])
    {'key': 'utt_id', 'probabilities': 'p1,p2'}
    """
    wanted = {}
    for option in options:
        role, equals, name = option.partition("=")
        if not equals or role not in NAMES:
            raise UsageError(
                f"--column {option}: no '{role}'; {nearest(role, NAMES)}", action="write --column ROLE=NAME"
            )
        wanted[role] = name
    return wanted


def roles_of(columns: Columns, wanted: Mapping[str, str], known: Collection[str]) -> Roles:
    """Return which column holds what; `known`: names of classes in lower case, by which columns of classes are seen.

    UsageError (exit 2) if a column of `wanted` is absent; DataError (exit 3) if a used one stands twice.
    """
    by_plain: dict[str, str] = {}
    for name in columns.cells:
        by_plain.setdefault(plain(name), name)
    chosen: dict[str, str] = {}
    for role, names in NAMES.items():
        if role in wanted and role != "probabilities":
            chosen[role] = _present(columns, wanted[role])
        elif usual := [by_plain[name] for name in names if name in by_plain]:
            chosen[role] = usual[0]
    named = [name for role, name in chosen.items() if role in wanted]
    chosen = {role: name for role, name in chosen.items() if role in wanted or name not in named}
    listed = chosen.pop("probabilities", None)
    taken = set(chosen.values())
    if "probabilities" in wanted:
        parts = tuple(_present(columns, part.strip()) for part in _parts(columns, wanted["probabilities"]))
        values = _of_classes(parts, known, taken) or (parts, (), False)
    else:
        lists = listed is not None and not _scalar(columns.cells[listed])
        each = None if lists else _of_classes(tuple(columns.cells), known, taken)
        values = each or ((listed,) if lists and listed else (), (), False)
    roles = Roles(column=chosen, probabilities=values[0], of=values[1], numbered=values[2])
    for name in (*chosen.values(), *roles.probabilities):
        if name in columns.twice:
            raise columns.fault(f"the column `{name}` stands twice", "rename or remove one of the two")
    known_names = {name for names in NAMES.values() for name in names} - set(CLASS_LISTS)
    for name, cells in columns.listed.items():
        if plain(name) in known_names:
            raise columns.fault(f"the array `{name}` has {len(cells):,} entries, most others {columns.rows:,}")
    return roles


def _parts(columns: Columns, text: str) -> list[str]:
    return [text] if text in columns.cells else text.split(",")


def _scalar(cells: Sequence[object]) -> bool:
    """Return whether a column holds one number a row rather than a list."""
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, str):
        return not re.search(r"[\s,;]", first.strip().strip("[]()"))
    return first is None or isinstance(first, int | float)


def _present(columns: Columns, name: str) -> str:
    if name not in columns.cells:
        there = ", ".join(list(columns.cells)[:20]) or "none"
        raise UsageError(f"no column `{name}`", file=columns.file, action=f"name one of its columns: {there}")
    return name


def _of_classes(
    names: tuple[str, ...], known: Collection[str], taken: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...], bool] | None:
    """Return (columns of one class each, what they are of, whether by number); None without at least two."""
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        if name in taken:
            continue
        if match := _FIRST.fullmatch(name.strip()):
            bare = match[2] == name.strip()[len(match[1]) :]
            if not (bare and len(match[1]) == 1 and not match[2].isdigit()):
                groups.setdefault(match[1].lower(), {}).setdefault(match[2], name)
        if match := _LAST.fullmatch(name.strip()):
            groups.setdefault(f"* {match[2].lower()}", {}).setdefault(match[1], name)
        groups.setdefault("", {}).setdefault(name.strip(), name)
    for beginning, group in groups.items():
        words = {of: name for of, name in group.items() if not of.isdigit()}
        ours = {of: name for of, name in words.items() if of.casefold() in known}
        if len(ours) >= 2:
            # A class without an utterance is not known, but has its column among the others.
            of_class = words if beginning else ours
            return tuple(of_class.values()), tuple(of_class), False
    for group in groups.values():
        numbers = {int(of): name for of, name in group.items() if _NUMBER.fullmatch(of)}
        first = min(numbers, default=2)
        if len(numbers) >= 2 and first in (0, 1) and max(numbers) - first + 1 == len(numbers):
            order = sorted(numbers)
            return tuple(numbers[at] for at in order), tuple(map(str, order)), True
    return None
