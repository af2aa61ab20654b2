"""Reads tables of precomputed picture features: tab-separated, first column `clip`, all other columns numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from foalnet.core.errors import DataError
from foalnet.corpora.base import read_corpus_file

CLIP = "clip"
# str.splitlines would also split at characters that a clip's name may contain.
_LINE_END = re.compile(r"\r\n|\n|\r")


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Return clip name -> features of its row, float32 of shape [F=1, D], in the order of the table.

    D is the number of columns without `clip`. Raises DataError (exit 3) with line and column if the table is not UTF-8,
    a row has another number of columns, a value is not a finite number, or a clip occurs twice.
    """
    try:
        lines = _LINE_END.split(read_corpus_file(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _fault(path, f"the table is not UTF-8 at byte {error.start}") from error
    header = lines[0].split("\t")
    if header[:1] != [CLIP] or len(header) < 2:
        raise _fault(path, f"a feature table has a first column `{CLIP}` and one column per feature, separated by tabs")
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
        # NaN and values beyond the range of float32 fail this comparison.
        if not abs(value) <= float(np.finfo(np.float32).max):
            raise _fault(path, f"line {number}, column '{column}': '{cell}' is not a finite number")
        values.append(value)
    return values


def _fault(path: Path, what: str) -> DataError:
    return DataError(what, file=path, action="correct the table, then run the same command again")


def reference(table: str, clip: str) -> str:
    """Return the value of `Utterance.features`: the table's relative path, `#`, the name of the clip.

    >>> reference("units.tsv", "01-01-01"), parse_reference("units.tsv#01-01-01")
    ('units.tsv#01-01-01', ('units.tsv', '01-01-01'))
    """
    return f"{table}#{clip}"


def parse_reference(features: str) -> tuple[str, str]:
    """Return (relative path of the table, name of the clip) from `Utterance.features`."""
    table, _, clip = features.rpartition("#")
    return table, clip
