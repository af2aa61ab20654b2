"""A table of predictions with its meaning: keys, labels, classes, probabilities, folds, seeds, people.

Shape letters: N rows, C classes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foalnet.audit.labels import Order, first_number, is_number, numbers_of, order_of, text_of, texts_of
from foalnet.audit.read import Columns
from foalnet.audit.reference import Place, Reference, keys_by_themselves, place_of
from foalnet.audit.roles import Roles, roles_of
from foalnet.core.errors import UsageError

PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation", "development"), "dev"),
    **dict.fromkeys(("test", "tst", "testing", "eval", "evaluation"), "test"),
}


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The rows of a file. A text is "" where the file has nothing; a class number is -1 where there is no class.

    `label_N` is the manifest's, without a manifest the file's own (`stated_N`). `known_N`: the row's key is in the
    manifest. `unknown_labels` and `unknown_answers`: values that are no class, with their count.
    """

    columns: Columns
    roles: Roles
    reference: Reference | None
    order: Order
    key_N: list[str]
    keyed: bool
    label_N: np.ndarray
    stated_N: np.ndarray | None
    answer_N: np.ndarray | None
    value_NC: np.ndarray | None
    known_N: np.ndarray
    fold_N: list[str] | None
    part_N: list[str] | None
    seed_N: list[str]
    epoch_N: list[str] | None
    places: Mapping[str, Place]
    first: int
    unknown_labels: Counter[str]
    unknown_answers: Counter[str]
    mixed: bool

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.columns.rows

    def column(self, role: str) -> str:
        """Return the name of a role's column, "" if none has it."""
        return self.roles.column.get(role, "")


def table_of(
    columns: Columns, wanted: Mapping[str, str], classes: Sequence[str], reference: Reference | None
) -> Predictions:
    """Return the predictions of a file. `wanted`: role -> column; `classes`: their order, by the user.

    UsageError (exit 2) without a column of labels, predictions or (with a manifest) keys, and as of `order_of`;
    DataError (exit 3) for values that are no numbers.
    """
    roles = roles_of(columns, wanted, _class_names(columns, wanted, classes, reference))
    names = _turns(texts_of(columns, roles, "key"), texts_of(columns, roles, "dialogue"))
    _need(columns, roles, reference, keyed=names is not None)
    key_N, known_N = _keys(names, columns.rows, reference)
    truth: list[str | None] = [None] * columns.rows
    if reference is not None:
        used = reference.used
        truth = [used[key].label if key in used else None for key in key_N]
    value_NC = _values(columns, roles)
    order = order_of(columns, roles, classes, reference, truth, value_NC)
    if value_NC is not None and roles.of and not roles.numbered:
        value_NC = value_NC[:, _places_of(roles.of, order, columns)]
    stated, answers = texts_of(columns, roles, "label"), texts_of(columns, roles, "predicted")
    first = first_number([*(stated or []), *(answers or [])], order)
    stated_N, unknown_labels = numbers_of(stated, order, first) if stated else (None, Counter[str]())
    answer_N, unknown_answers = numbers_of(answers, order, first) if answers else (None, Counter[str]())
    number = {name: at for at, name in enumerate(order.classes)}
    label_N = np.array([-1 if name is None else number.get(name, -1) for name in truth], dtype=np.int64)
    if reference is None:
        assert stated_N is not None
        label_N = stated_N
    fold_N, part_N = _folds(columns, roles)
    kinds = {is_number(text) for text in set(stated or []) - {""}}
    return Predictions(
        columns=columns,
        roles=roles,
        reference=reference,
        order=order,
        key_N=key_N,
        keyed=names is not None,
        label_N=label_N,
        stated_N=stated_N,
        answer_N=answer_N,
        value_NC=value_NC,
        known_N=known_N,
        fold_N=fold_N,
        part_N=part_N,
        seed_N=texts_of(columns, roles, "seed") or [""] * columns.rows,
        epoch_N=texts_of(columns, roles, "epoch"),
        places=_places(columns, roles, key_N, reference),
        first=first,
        unknown_labels=unknown_labels,
        unknown_answers=unknown_answers,
        mixed=len(kinds) > 1,
    )


def _class_names(
    columns: Columns, wanted: Mapping[str, str], classes: Sequence[str], reference: Reference | None
) -> set[str]:
    """Return the lower-case names by which columns of classes are seen: given ones, the manifest's, the labels."""
    names = {*classes, *(reference.classes if reference else ()), *(reference.class_of if reference else ())}
    if not names:
        roles = roles_of(columns, {role: name for role, name in wanted.items() if role in ("label", "predicted")}, ())
        for role in ("label", "predicted"):
            if role in roles.column:
                names |= set(map(text_of, columns.cells[roles.column[role]]))
    return {name.casefold() for name in names}


def _need(columns: Columns, roles: Roles, reference: Reference | None, *, keyed: bool) -> None:
    """Raise UsageError (exit 2) if a column is missing without which nothing can be said."""
    there = ", ".join(f"`{name}`" for name in list(columns.cells)[:20]) or "none"
    wanted = []
    if reference is not None and not keyed:
        wanted.append("keys or file names (key)")
    if reference is None and "label" not in roles.column:
        wanted.append("labels (label; or name a manifest by --corpus or --manifest)")
    if "predicted" not in roles.column and not roles.probabilities:
        wanted.append("predictions (predicted) or probabilities (probabilities)")
    if wanted:
        raise UsageError(
            f"no column of {', no column of '.join(wanted)}; its columns are {there}",
            file=columns.file,
            action="name them by --column ROLE=NAME",
        )


def _turns(names: list[str] | None, dialogues: list[str] | None) -> list[str] | None:
    """Return keys; those that are numbers of a turn with their dialogue, as MELD spells it where that is a number too.

    >>> _turns(["0", "1"], ["3", "3"]), _turns(["0"], ["Ses01F_impro01"]), _turns(["a"], ["3"])
    (['dia3_utt0', 'dia3_utt1'], ['Ses01F_impro01_0'], ['a'])
    """
    if names is None or dialogues is None or not all(map(is_number, names)):
        return names
    form = "dia{}_utt{}" if all(map(is_number, dialogues)) else "{}_{}"
    return [form.format(dialogue, name) for dialogue, name in zip(dialogues, names, strict=True)]


def _keys(names: list[str] | None, rows: int, reference: Reference | None) -> tuple[list[str], np.ndarray]:
    """Return the key of each row and whether the manifest has it; rows without keys are numbered."""
    if names is None:
        return [f"row {at}" for at in range(1, rows + 1)], np.ones(rows, dtype=bool)
    if reference is None:
        return keys_by_themselves(names), np.ones(rows, dtype=bool)
    keys = {name: reference.key_of(name) for name in set(names)}
    return [keys[name] or name for name in names], np.array([keys[name] is not None for name in names], dtype=bool)


def _places_of(of: Sequence[str], order: Order, columns: Columns) -> list[int]:
    """Return for each class the place of its column among the columns of classes."""
    at = {order.aliases.get(name.casefold(), -1): place for place, name in enumerate(of)}
    missing = [name for number, name in enumerate(order.classes) if number not in at]
    if missing:
        raise columns.fault(
            f"no column of probabilities for {', '.join(missing)}",
            "name the columns by --column probabilities=NAME,NAME, in the order of --classes",
        )
    return [at[number] for number in range(len(order.classes))]


def _folds(columns: Columns, roles: Roles) -> tuple[list[str] | None, list[str] | None]:
    """Return the fold and the part (train, dev, test) of each row; a column `split` may be either."""
    fold, part = texts_of(columns, roles, "fold"), texts_of(columns, roles, "part")
    if part is not None and not {text.casefold() for text in part} <= PARTS.keys():
        fold, part = fold or part, None
    if fold is None:
        fold = texts_of(columns, roles, "session")
    return fold, None if part is None else [PARTS[text.casefold()] for text in part]


def _places(columns: Columns, roles: Roles, key_N: Sequence[str], reference: Reference | None) -> dict[str, Place]:
    """Return key -> session, dialogue and speaker: the manifest's, else the file's, else those that the key implies."""
    given = {role: texts_of(columns, roles, role) for role in ("session", "dialogue", "speaker")}
    places: dict[str, Place] = {}
    for row, key in enumerate(key_N):
        if key in places:
            continue
        if reference is not None and key in reference.utterances:
            each = reference.utterances[key]
            # A dialogue's name may recur in another session.
            places[key] = Place(session=each.session, dialogue=f"{each.session}/{each.dialogue}", speaker=each.speaker)
            continue
        implied = place_of(key)
        said = {role: column[row] for role, column in given.items() if column is not None and column[row]}
        places[key] = Place(
            session=said.get("session", implied.session),
            dialogue=said.get("dialogue", implied.dialogue),
            speaker=said.get("speaker", implied.speaker),
        )
    return places


def _values(columns: Columns, roles: Roles) -> np.ndarray | None:
    """Return the numbers of the columns of probabilities, [N, C]; None if there is none."""
    if not roles.probabilities:
        return None
    cells = columns.cells[roles.probabilities[0]]
    if isinstance(cells, np.ndarray):
        if cells.ndim != 2 or cells.dtype.kind not in "fiub":
            raise columns.fault(f"`{roles.probabilities[0]}` has shape {cells.shape}: one row an utterance is needed")
        return cells.astype(np.float64)
    if len(roles.probabilities) == 1:
        lists = [_list(cell, columns) for cell in cells]
        width = max(Counter(len(each) for each in lists if len(each)).most_common(1), default=(0, 0))[0]
        lists = [each if len(each) else [None] * width for each in lists]
        for row, each in enumerate(lists, 1):
            if len(each) != width:
                raise columns.fault(f"row {row}: {len(each)} probabilities, most rows have {width}")
    else:
        lists = list(zip(*(columns.cells[name] for name in roles.probabilities), strict=True))  # type: ignore[arg-type]
    if not all(lists):
        raise columns.fault(f"`{roles.probabilities[0]}` has no number")
    try:
        return np.array([[_number(cell, columns.decimal) for cell in each] for each in lists])
    except (TypeError, ValueError, OverflowError):
        return _first_fault(lists, columns)


def _first_fault(lists: Sequence[Sequence[Any]], columns: Columns) -> np.ndarray:
    for row, each in enumerate(lists, 1):
        for cell in each:
            try:
                _number(cell, columns.decimal)
            except (TypeError, ValueError, OverflowError) as error:
                text = str(cell)[:40]
                raise columns.fault(f"row {row}: '{text}' is no number of a class") from error
    raise AssertionError("every cell is a number")


def _number(cell: Any, decimal: str) -> float:
    if isinstance(cell, str):
        text = cell.strip()
        return float(text.replace(",", ".") if decimal == "," else text) if text else float("nan")
    return float("nan") if cell is None else float(cell)


def _list(cell: Any, columns: Columns) -> Sequence[Any]:
    """Return the numbers of a cell that holds a list, also as text: "[0.1, 0.9]", "[0.1 0.9]" or "0.1;0.9"."""
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("[") and "," in text:
            try:
                each = json.loads(text.replace("nan", "NaN"))
            except (ValueError, RecursionError):
                each = None
            if isinstance(each, list):
                return each
        return re.split(r"[\s,;]+", text.strip("[](){} "))
    if isinstance(cell, list | tuple):
        return cell
    if cell is None:
        return []
    raise columns.fault(
        f"`{columns.file.name}` has one number where a list with a number for each class is needed",
        "name the columns of all classes by --column probabilities=NAME,NAME",
    )
