"""Says which classes a table of predictions has and in which order, and turns its labels into class numbers.

Shape letters: N rows, C classes.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foalnet.audit.read import Columns
from foalnet.audit.reference import Reference
from foalnet.audit.roles import CLASS_LISTS, Roles
from foalnet.core.errors import UsageError
from foalnet.evidence.metrics import confusion

MOST_CLASSES = 1000
# A mapping of numbers to names is read from the rows if it explains at least this share of them.
ENOUGH = 0.99
ASSUMED = "assumed: alphabetical"
_NUMBER = re.compile(r"-?\d{1,15}")


@dataclass(frozen=True, kw_only=True)
class Order:
    """The classes in the order of the columns of probabilities and of the class numbers, and what says so."""

    classes: tuple[str, ...]
    source: str
    aliases: dict[str, int] = field(default_factory=dict)

    @property
    def assumed(self) -> bool:
        """Whether nothing says the order."""
        return self.source == ASSUMED


def text_of(cell: Any) -> str:
    """Return a cell as text: "" for nothing and NaN, whole numbers without a fraction.

    >>> text_of(2.0), text_of(" sad "), text_of(None), text_of("3.0"), text_of(True)
    ('2', 'sad', '', '3', '1')
    """
    if isinstance(cell, str):
        text = cell.strip() if cell.isascii() else unicodedata.normalize("NFC", cell.strip())
        return text[:-2] if text.endswith(".0") and _NUMBER.fullmatch(text[:-2]) else text
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15):
        return str(int(cell))
    return str(cell)


def texts_of(columns: Columns, roles: Roles, role: str) -> list[str] | None:
    """Return a role's column as text; None if no column has the role."""
    return list(map(text_of, columns.cells[roles.column[role]])) if role in roles.column else None


def is_number(text: str) -> bool:
    """Return whether a text is a whole number."""
    return _NUMBER.fullmatch(text) is not None


def order_of(
    columns: Columns,
    roles: Roles,
    wanted: Sequence[str],
    reference: Reference | None,
    truth: Sequence[str | None],
    value_NC: np.ndarray | None,
) -> Order:
    """Return the classes in order. `wanted`: the order that the user gives; `truth`: the manifest's class of each row.

    UsageError (exit 2) if the number of classes does not fit the columns of probabilities, or a name is no class of the
    manifest; DataError (exit 3) for more than MOST_CLASSES classes.
    """
    stated = texts_of(columns, roles, "label") or []
    answers = texts_of(columns, roles, "predicted") or []
    values = sorted({*stated, *answers} - {""})
    if len(values) > MOST_CLASSES:
        raise columns.fault(
            f"its labels and predictions have {len(values):,} different values; the limit is {MOST_CLASSES:,}",
            "name the columns of classes by --column label=NAME and --column predicted=NAME",
        )
    listed = [columns.listed[name] for name in CLASS_LISTS if name in columns.listed]
    if wanted:
        classes, source = tuple(wanted), "--classes"
    elif roles.of and not roles.numbered:
        classes, source = roles.of, "the names of the columns"
    elif listed and all(isinstance(name, str) for name in listed[0]):
        classes, source = tuple(listed[0]), "the list of classes in the file"
    else:
        classes, source = _read_from(values, answers, roles, reference, truth, stated, value_NC)
    if reference is not None:
        classes = _of_reference(classes, reference, columns, source)
        if source == "the names of the columns" and reference.order and set(reference.order) == set(classes):
            # The columns are put into the order of the manifest by their names.
            classes = reference.order
    elif source == "the names of the columns":
        classes = _spelled(classes, values)
    order = Order(classes=classes, source=source, aliases=_aliases(classes, reference))
    if len(order.aliases) < len(set(classes)) or len(set(classes)) < len(classes):
        raise UsageError(f"two classes have one name: {', '.join(classes)}", file=columns.file, action="give --classes")
    if value_NC is not None and value_NC.shape[1] != len(classes):
        raise UsageError(
            f"{value_NC.shape[1]} columns of probabilities, {len(classes)} classes: {', '.join(classes[:20])}",
            file=columns.file,
            action="give the classes in the order of the columns by --classes, "
            "or the columns by --column probabilities=NAME,NAME",
        )
    return order


def _spelled(classes: Sequence[str], values: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns as the labels spell them."""
    spelled = {value.casefold(): value for value in values}
    return tuple(spelled.get(name.casefold(), name) for name in classes)


def _aliases(classes: Sequence[str], reference: Reference | None) -> dict[str, int]:
    aliases = {name.casefold(): at for at, name in enumerate(classes)}
    for raw, name in reference.class_of.items() if reference else ():
        if name in classes:
            aliases.setdefault(raw.casefold(), classes.index(name))
    return aliases


def _of_reference(classes: Sequence[str], reference: Reference, columns: Columns, source: str) -> tuple[str, ...]:
    """Return the manifest's names of classes that are given by these or by raw labels."""
    names = {raw.casefold(): name for raw, name in reference.class_of.items()}
    names |= {name.casefold(): name for name in reference.classes}
    wrong = [name for name in classes if name.casefold() not in names]
    if wrong:
        raise UsageError(
            f"no class of {reference.name}: {', '.join(wrong[:20])} ({source})",
            file=columns.file,
            action=f"give its classes, {', '.join(reference.classes)}, in the order of the columns by --classes",
        )
    return tuple(names[name.casefold()] for name in classes)


def _read_from(
    values: Sequence[str],
    answers: Sequence[str],
    roles: Roles,
    reference: Reference | None,
    truth: Sequence[str | None],
    stated: Sequence[str],
    value_NC: np.ndarray | None,
) -> tuple[tuple[str, ...], str]:
    """Return the classes and what says their order, where neither the user nor a name of a column does."""
    if reference is not None and reference.order:
        return reference.order, reference.name
    width = None if value_NC is None else value_NC.shape[1]
    if values and all(map(is_number, values)):
        if reference is not None and stated and (matched := _by_number(stated, truth, reference.classes)):
            return matched, "the numbers of the labels, compared with the manifest"
        if reference is None:
            numbers = sorted(map(int, values))
            first = 1 if width and numbers[0] == 1 and numbers[-1] == width else 0
            spread = range(first, first + width) if width else numbers
            return tuple(map(str, spread)), "the numbers of the labels"
    words = [value for value in values if not is_number(value)]
    if len(words) > 1 and all(int(value) <= len(words) for value in values if is_number(value)):
        # The numbers among them are numbers of these classes.
        values = words
    names = list(reference.classes) if reference is not None else _once(values)
    if not roles.of and value_NC is not None and (matched := _by_answers(answers, value_NC, names, reference)):
        return matched, "the column of predictions"
    return tuple(names), ASSUMED


def _once(values: Sequence[str]) -> list[str]:
    """Return names without those that differ in case alone."""
    return sorted({value.casefold(): value for value in reversed(values)}.values())


def _by_number(stated: Sequence[str], truth: Sequence[str | None], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the class of each number by the manifest's labels; None if the two do not agree on nearly all rows."""
    pairs = Counter((int(number), name) for number, name in zip(stated, truth, strict=True) if name and number)
    numbers = sorted({number for number, _ in pairs})
    if not pairs or numbers[-1] - numbers[0] != len(names) - 1 or numbers[0] not in (0, 1):
        return None
    counts_CC = np.array([[pairs[number + numbers[0], name] for name in names] for number in range(len(names))])
    best_C = counts_CC.argmax(axis=1)
    if len(set(best_C.tolist())) < len(names) or counts_CC.max(axis=1).sum() < ENOUGH * counts_CC.sum():
        return None
    return tuple(names[at] for at in best_C)


def _by_answers(
    answers: Sequence[str], value_NC: np.ndarray, names: Sequence[str], reference: Reference | None
) -> tuple[str, ...] | None:
    """Return the class of each column of probabilities by the predictions; None if the two contradict."""
    width = value_NC.shape[1]
    if not answers or len(names) != width:
        return None
    finite_N = np.isfinite(value_NC).all(axis=1)
    number = _aliases(names, reference)
    answer_N = np.array([number.get(answer.casefold(), -1) for answer in answers])
    kept_N = finite_N & (answer_N >= 0)
    if not kept_N.any():
        return None
    counts_CC = confusion(value_NC[kept_N].argmax(axis=1), answer_N[kept_N], width)
    best = [int(row.argmax()) if row.sum() else -1 for row in counts_CC]
    free = sorted(set(range(width)) - set(best))
    if best.count(-1) == 1 and len(free) == 1:
        best[best.index(-1)] = free[0]
    if sorted(best) != list(range(width)) or counts_CC.max(axis=1).sum() < ENOUGH * counts_CC.sum():
        return None
    return tuple(names[at] for at in best)


def numbers_of(texts: Sequence[str], order: Order, first: int) -> tuple[np.ndarray, Counter[str]]:
    """Return class numbers [N], -1 for no class, and the texts that are no class with their count.

    `first`: the number of the first class in texts that are numbers.

    >>> order = Order(classes=("sad", "happy"), source="", aliases={"sad": 0, "happy": 1})
    >>> numbers_of(["Happy", "0", "7", ""], order, 0)
    (array([ 1,  0, -1, -1]), Counter({'7': 1}))
    """
    of: dict[str, int] = {"": -1}
    for text in set(texts) - {""}:
        at = order.aliases.get(text.casefold(), -1)
        if at < 0 and is_number(text) and 0 <= int(text) - first < len(order.classes):
            at = int(text) - first
        of[text] = at
    return np.array([of[text] for text in texts], dtype=np.int64), Counter(t for t in texts if t and of[t] < 0)


def first_number(texts: Iterable[str], order: Order) -> int:
    """Return 1 if class numbers run from 1 to the number of classes, else 0.

    >>> two = Order(classes=("sad", "happy"), source="")
    >>> first_number(["1", "2"], two), first_number(["0", "1"], two), first_number(["1"], two)
    (1, 0, 0)
    """
    numbers = {int(text) for text in set(texts) if is_number(text) and text not in order.aliases}
    return int(bool(numbers) and min(numbers) == 1 and max(numbers) == len(order.classes))
