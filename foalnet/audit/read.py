"""Reads a table of predictions from csv, tsv, jsonl, json, npz or parquet: columns as they are, without their meaning.

Nothing of a file is run: npz is read without pickle, and a file above MOST_BYTES or MOST_ROWS is refused.
Shape letters: N rows.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.core.errors import DataError, UsageError, reason
from foalnet.core.files import NotPlain, not_read, read_plain, sha256_bytes
from foalnet.corpora.csvs import repaired

MOST_BYTES = 1 << 30
MOST_ROWS = 5_000_000
MOST_COLUMNS = 10_000
DELIMITERS = (",", ";", "\t", "|")
MEDIA = re.compile(r"\.(wav|flac|mp3|ogg|mp4|avi|mkv|webm|flv)$", re.IGNORECASE)
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a file by name, each with one cell a row; `twice` are names that stand twice in its header.

    `listed`: arrays of an npz file that are no columns. `decimal`: the sign between ones and tenths in text.
    """

    file: Path
    form: str
    sha256: str
    rows: int
    cells: Mapping[str, Sequence[Any]]
    twice: frozenset[str] = frozenset()
    listed: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    decimal: str = "."

    def fault(self, what: str, action: str = "correct the file, then run the same command again") -> DataError:
        """Return the error (exit 3) for a file that cannot be audited."""
        return DataError(what, file=self.file, action=action)


def read_columns(file: Path) -> Columns:
    """Return the columns of a file.

    UsageError (exit 2) for an unknown ending or an absent file; DataError (exit 3) if it is not of its format, is no
    plain file, is too large or has no row; MachineError (exit 4) if it cannot be read, or without pyarrow for parquet.
    """
    read = FORMATS.get(file.suffix.lower())
    if read is None:
        raise UsageError(
            f"no format for the ending '{file.suffix}'", file=file, action=f"rename it to one of {', '.join(FORMATS)}"
        )
    try:
        data = read_plain(file, MOST_BYTES)
    except FileNotFoundError as error:
        raise UsageError("file not found", file=file, action="correct its name") from error
    except (NotPlain, IsADirectoryError) as error:
        raise DataError(reason(error), file=file, action="give a plain file of predictions") from error
    except OSError as error:
        raise not_read(error, file) from error
    columns = read(file, data)
    if not columns.rows:
        raise columns.fault("the file has no row of predictions")
    return columns


def _columns(file: Path, data: bytes, cells: Mapping[str, Sequence[Any]], rows: int, **more: Any) -> Columns:
    cells = {unicodedata.normalize("NFC", name): column for name, column in cells.items()}
    columns = Columns(
        file=file, form=file.suffix[1:].lower(), sha256=sha256_bytes(data), rows=rows, cells=cells, **more
    )
    if rows > MOST_ROWS or len(cells) > MOST_COLUMNS:
        raise columns.fault(f"it has {rows:,} rows and {len(cells):,} columns; the limits are {MOST_ROWS:,} and "
                            f"{MOST_COLUMNS:,}")  # fmt: skip
    return columns


def _text(data: bytes) -> str:
    """Return text of UTF-8, of UTF-16 with its mark, or else of Windows-1252."""
    try:
        return data.decode(MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        return repaired(data.decode("latin-1"))


def _csv(file: Path, data: bytes) -> Columns:
    text = _text(data)
    header = next((line for line in text.splitlines() if line.strip()), "")
    spaced = file.suffix.lower() == ".txt" and not any(map(header.count, DELIMITERS))
    delimiter = " " if spaced else max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=spaced, strict=True)
    bare = _columns(file, data, {}, 0)
    rows: list[list[str]] = []
    names: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                if media := [at for at, name in enumerate(names) if MEDIA.search(name)]:
                    # No header: the row has a file name.
                    rows.append(cells)
                    names = ["key" if at == media[0] else f"column {at + 1}" for at in range(len(cells))]
            elif len(cells) != len(names):
                raise bare.fault(f"row {number}: {len(cells)} cells, the header has {len(names)}")
            else:
                rows.append(cells)
            if len(rows) > MOST_ROWS:
                raise bare.fault(f"it has more than {MOST_ROWS:,} rows, the limit")
    except csv.Error as error:
        raise bare.fault(f"row {number + 1}: it is not CSV: {error}") from error
    turned = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    twice = frozenset(name for name, count in Counter(names).items() if count > 1)
    decimal = "," if delimiter == ";" else "."
    return _columns(file, data, dict(zip(names, turned, strict=True)), len(rows), twice=twice, decimal=decimal)


def _jsonl(file: Path, data: bytes) -> Columns:
    bare = _columns(file, data, {}, 0)
    rows: list[Any] = []
    number = 0
    try:
        text = _text(data)
        if file.suffix.lower() == ".json":
            rows = _listed(json.loads(text), bare)
        else:
            for line in io.StringIO(text):
                number += 1
                if line.strip():
                    rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
        place = f"line {number}: " if number else ""
        raise bare.fault(f"{place}it is not valid JSON: {reason(error)}") from error
    cells: dict[str, list[Any]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise bare.fault(f"row {number + 1} is no object with a name for each value")
        for name, value in _flat(row):
            column = cells.setdefault(name, [])
            column += [None] * (number - len(column))
            column.append(value)
        if len(cells) > MOST_COLUMNS:
            raise bare.fault(f"it has more than {MOST_COLUMNS:,} columns, the limit")
    for column in cells.values():
        column += [None] * (len(rows) - len(column))
    return _columns(file, data, cells, len(rows))


def _listed(whole: Any, bare: Columns) -> list[Any]:
    """Return the rows of a JSON file: a list of objects, or an object of key -> object."""
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict) and whole and all(isinstance(row, dict) for row in whole.values()):
        return [{"key": key, **row} for key, row in whole.items()]
    raise bare.fault("it is not a list of objects", "write a list with one object for each utterance")


def _flat(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the values of an object; an object in it, as of class -> probability, gives a column for each name.

    >>> _flat({"key": "a", "probs": {"sad": 0.5}})
    [('key', 'a'), ('probs_sad', 0.5)]
    """
    pairs: list[tuple[str, Any]] = []
    for name, value in row.items():
        pairs += [(f"{name}_{inner}", each) for inner, each in value.items()] if isinstance(value, dict) else [
            (name, value)
        ]  # fmt: skip
    return pairs


def _npz(file: Path, data: bytes) -> Columns:
    bare = _columns(file, data, {}, 0)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MOST_BYTES:
            raise bare.fault(f"its arrays have {unpacked:,} bytes; the limit is {MOST_BYTES:,}")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            every = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise bare.fault(
            f"it is not npz of plain arrays: {reason(error)}", "save names as arrays of strings, not of objects"
        ) from error
    every = {name: each for name, each in every.items() if each.ndim}
    lengths = Counter(len(each) for each in every.values())
    rows = max(lengths, key=lambda length: (lengths[length], length), default=0)
    columns = {name: _array(each) for name, each in every.items() if len(each) == rows}
    listed = {name: _array(each) for name, each in every.items() if len(each) != rows}
    return _columns(file, data, columns, rows, listed=listed)


def _array(each: np.ndarray) -> Sequence[Any]:
    """Return the cells of an array: bytes as text, a matrix as it is."""
    if each.dtype.kind == "S":
        each = np.char.decode(each, "utf-8", "replace")
    column: Sequence[Any] = each.tolist() if each.ndim == 1 else each  # type: ignore[assignment]
    return column


def _parquet(file: Path, data: bytes) -> Columns:
    from foalnet.export.tables import need_parquet

    need_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    bare = _columns(file, data, {}, 0)
    try:
        opened = pq.ParquetFile(pa.BufferReader(data))
        facts = opened.metadata
        unpacked = sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))
        if facts.num_rows > MOST_ROWS or unpacked > MOST_BYTES:
            raise bare.fault(f"it has {facts.num_rows:,} rows and {unpacked:,} bytes; the limits are {MOST_ROWS:,} and "
                             f"{MOST_BYTES:,}")  # fmt: skip
        table = opened.read()
        names = table.column_names
        cells = {name: table.column(at).to_pylist() for at, name in enumerate(names)}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise bare.fault(f"it is not parquet: {reason(error)}") from error
    for name in [name for name, column in cells.items() if any(isinstance(cell, dict) for cell in column[:1])]:
        column = cells.pop(name)
        for inner in column[0]:
            cells[f"{name}_{inner}"] = [None if cell is None else cell[inner] for cell in column]
    twice = frozenset(name for name, count in Counter(names).items() if count > 1)
    return _columns(file, data, cells, facts.num_rows, twice=twice)


FORMATS: dict[str, Callable[[Path, bytes], Columns]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _jsonl,
    ".npz": _npz,
    ".parquet": _parquet,
    ".pq": _parquet,
}
