"""A check of an audit and the rows that it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from foalnet.audit.table import Predictions

Verdict = Literal["ok", "warning", "fault"]
NAMED = 5
# Letters of a name that are shown.
LONGEST = 80
# The name of a group of rows.
Name = TypeVar("Name", str, tuple[str, str])


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One line of an audit: what was checked, the verdict, a sentence; `keys`: the first utterances, of `count`."""

    name: str
    verdict: Verdict
    text: str
    keys: tuple[str, ...] = ()
    count: int = 0


def check(name: str, verdict: Verdict, text: str, keys: Iterable[str] = ()) -> Check:
    """Return a check; of its utterances the first NAMED in order of their keys are kept."""
    every = sorted(set(keys))
    return Check(name=name, verdict=verdict, text=text, keys=tuple(every[:NAMED]), count=len(every))


def ok(name: str, text: str) -> Check:
    """Return a check without a fault."""
    return check(name, "ok", text)


@dataclass(frozen=True, kw_only=True)
class Case:
    """The predictions of one file as they are scored.

    `probability_NC`: rows of NaN where a row has none; None without probabilities. `predicted_N`: what the file says,
    else the class of the largest probability; -1 where there is none. `tested_N`: rows of the test part.
    `scored_N`: the rows that are scored: one for each seed and utterance with a class and a prediction.
    """

    table: Predictions
    probability_NC: np.ndarray | None
    argmax_N: np.ndarray | None
    predicted_N: np.ndarray
    tested_N: np.ndarray
    epoch_N: np.ndarray
    scored_N: np.ndarray

    def keys(self, rows_N: np.ndarray) -> list[str]:
        """Return the keys of rows, by a mask."""
        key_N = self.table.key_N
        return [key_N[row] for row in np.flatnonzero(rows_N)]

    @cached_property
    def fold_N(self) -> list[str]:
        """The fold of each row, "" where the file has no folds."""
        return self.table.fold_N or [""] * len(self.table)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Key -> its first row in the test part and the chosen epoch, of utterances with a class."""
        rows = np.flatnonzero(self.tested_N & self.epoch_N & (self.table.label_N >= 0))
        return {self.table.key_N[row]: row for row in reversed(rows.tolist())}

    @cached_property
    def runs(self) -> dict[tuple[str, str], np.ndarray]:
        """(seed, fold) -> numbers of its scored rows."""
        return grouped(zip(self.table.seed_N, self.fold_N, strict=True), np.flatnonzero(self.scored_N))

    @cached_property
    def by_seed(self) -> dict[str, np.ndarray]:
        """Seed -> numbers of its scored rows."""
        return grouped(self.table.seed_N, np.flatnonzero(self.scored_N))


def grouped(names: Iterable[Name], rows: np.ndarray) -> dict[Name, np.ndarray]:
    """Return name -> those of some row numbers that have it, sorted by name; `names` has one for each row.

    >>> grouped(["b", "a", "b"], np.array([0, 2]))
    {'b': array([0, 2])}
    """
    every = list(names)
    groups: dict[Name, list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(every[row], []).append(row)
    return {name: np.array(groups[name]) for name in sorted(groups)}


def first_few(names: Sequence[str], most: int = NAMED) -> str:
    """Return the first names, long ones cut, and how many more there are."""
    shown = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def lines(checks: Iterable[Iterator[Check]]) -> list[Check]:
    """Return the checks of several functions in their order."""
    return [each for some in checks for each in some]
