"""Tables of precomputed picture features: tab-separated, a `clip` column first, every other column a number."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from foalnet.core.errors import DataError
from foalnet.corpora.base import read_whole

CLIP = "clip"
# str.splitlines would also split at marks that a clip's name may hold.
_LINE_END = re.compile(r"\r\n|\n|\r")


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Return clip name -> features of shape [F=1, D], float32, one row of the table each, in the table's order.

    D is the number of columns beside `clip`. DataError (exit 3) names the line (and column) that is not UTF-8,
    ragged, not a finite number, or names a clip again.
    """
    try:
        lines = _LINE_END.split(read_whole(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _fault(path, f"the table is not UTF-8 at byte {error.start}") from error
    header = lines[0].split("\t")
    if header[:1] != [CLIP] or len(header) < 2:
        raise _fault(path, f"a feature table starts with a column `{CLIP}` and has a column a feature, tabs between")
    rows: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        clip, *cells = line.split("\t")
        if len(cells) != len(header) - 1:
            raise _fault(path, f"line {number} has {len(cells) + 1} columns, the header {len(header)}")
        if not clip.strip():
            raise _fault(path, f"line {number} names no clip")
        if clip in rows:
            raise _fault(path, f"line {number} names clip '{clip}' again")
        rows[clip] = np.asarray([_numbers(cells, header, number, path)], dtype=np.float32)
    return rows


def _numbers(cells: list[str], header: list[str], number: int, path: Path) -> list[float]:
    values = []
    for cell, column in zip(cells, header[1:], strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        # float32 holds no more than this
        if not abs(value) <= float(np.finfo(np.float32).max):
            raise _fault(path, f"line {number}, column '{column}': '{cell}' is not a finite number")
        values.append(value)
    return values


def _fault(path: Path, what: str) -> DataError:
    return DataError(what, file=path, stage="manifest", action="correct the table, then run the same command again")


def reference(table: str, clip: str) -> str:
    """Return what `Utterance.features` holds: the table's relative path, `#`, the clip's name."""
    return f"{table}#{clip}"


def parse_reference(features: str) -> tuple[str, str]:
    """Return (table's relative path, clip) of an `Utterance.features`."""
    table, _, clip = features.rpartition("#")
    return table, clip
