"""Reads the CSV tables that a corpus publishes; an error names the file and the row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from foalnet.core.errors import DataError
from foalnet.corpora.base import is_lfs_pointer, read_corpus_file

# So many wrong rows are named in an error.
NAMED = 20
# Windows-1252 read as Latin-1: what stands at 0x80 to 0x9F, without the five bytes that it leaves undefined.
_WINDOWS = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in b"\x81\x8d\x8f\x90\x9d"}


def refuse(file: Path, faults: Sequence[str]) -> DataError:
    """Return the error for a table with faults; it names the first ones."""
    more = [f"… and {len(faults) - NAMED} more"] if len(faults) > NAMED else []
    what = "\n".join(["the table cannot be used:", *(f"  {fault}" for fault in [*faults[:NAMED], *more])])
    return DataError(what, file=file, action="correct the table, then run the same command again")


def read_csv(file: Path, needed: Sequence[str]) -> tuple[list[tuple[int, dict[str, str]]], bool]:
    """Return (row as a spreadsheet counts it with the header as row 1, column -> cell) of each row; and a flag.

    The flag says whether the file is not UTF-8: it is then read as Windows-1252. DataError (exit 3) if a needed column
    is missing or stands twice, a row has another number of cells, or the file is no CSV.
    """
    text, foreign = _text(file)
    return list(_rows(file, csv.reader(io.StringIO(text, newline=""), strict=True), needed)), foreign


def _text(file: Path) -> tuple[str, bool]:
    data = read_corpus_file(file)
    if is_lfs_pointer(data):
        raise refuse(file, ["it is a pointer of Git LFS, not the table: `git lfs pull` fetches it"])
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return repaired(data.decode("latin-1")), True


def repaired(text: str) -> str:
    """Return a text with the characters of Windows-1252 that were read as control characters.

    >>> repaired("I\\x92m fine"), repaired("déjà vu")
    ('I’m fine', 'déjà vu')
    """
    return text.translate(_WINDOWS)


def _rows(file: Path, reader: Iterator[list[str]], needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    number = 1
    try:
        names = next(reader, [])
        there = ", ".join(filter(None, names)) or "none"
        faults = [f"no column `{name}`; the columns are {there}" for name in needed if name not in names]
        faults += [f"the column `{name}` stands twice" for name in needed if names.count(name) > 1]
        if faults:
            raise refuse(file, faults)
        for number, cells in enumerate(reader, 2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise refuse(file, [f"row {number}: {len(cells)} cells, the header has {len(names)}"])
            yield number, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise refuse(file, [f"row {number + 1}: it is not CSV: {error}"]) from error
