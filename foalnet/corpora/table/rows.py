"""Reads the rows of a table: CSV with any of the usual separators, or JSON lines; every wrong row is named."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, cast

from foalnet.config import nearest
from foalnet.core.records import Side
from foalnet.corpora.base import read_corpus_file
from foalnet.corpora.csvs import refuse

SIDES = ("left", "right", "whole")
NEEDED = ("path", "label")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_LINE_END = re.compile(r"\r\n|\r|\n")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row: the columns by name; "" or None where a table lacks the column or the cell.

    `path` and `audio` (a sound file that belongs to the clip) are relative to the root. `votes`: rater, label.
    """

    path: str
    label: str
    speaker: str = ""
    start_s: float | None = None
    end_s: float | None = None
    session: str = ""
    dialogue: str = ""
    side: Side = "whole"
    text: str = ""
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    votes: tuple[tuple[str, str], ...] = ()
    audio: str = ""
    key: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
NUMBERS = ("start_s", "end_s", "valence", "arousal", "dominance")


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a table in its order; DataError (exit 3) names each wrong row and what is wrong with it."""
    rows: list[Row] = []
    faults: list[str] = []
    place: dict[tuple[str, float | None], int] = {}
    keys: dict[str, int] = {}
    for number, cells in _cells(file):
        try:
            row = _row(cells)
        except ValueError as error:
            faults.append(f"row {number}: {error}")
            continue
        first = place.setdefault((row.path, row.start_s), number)
        if first != number:
            faults.append(f"row {number}: path '{row.path}' with this start stands in row {first} too")
        if row.key and keys.setdefault(row.key, number) != number:
            faults.append(f"row {number}: key '{row.key}' stands in row {keys[row.key]} too")
        rows.append(row)
    if faults:
        raise refuse(file, faults)
    if not rows:
        raise refuse(file, ["it has no row below its header"])
    return rows


def _cells(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (number of the row, counted as a spreadsheet does, with the header as row 1; column -> cell)."""
    text = _text(file)
    if file.suffix.casefold() in (".jsonl", ".ndjson", ".json"):
        yield from _json_lines(file, text)
        return
    blank = len(_LINE_END.findall(text[: len(text) - len(text.lstrip("\r\n"))]))
    text = text.lstrip("\r\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        _check_columns(file, names)
        for number, cells in enumerate(reader, blank + 2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                raise refuse(file, [f"row {number}: {len(cells)} cells, the header has {len(names)}"])
            yield number, dict(zip(names, (cell.strip() for cell in cells), strict=False))
    except csv.Error as error:
        raise refuse(file, [f"row {reader.line_num}: it is not CSV: {error}"]) from error


def _separator(text: str) -> str:
    """Return the separator with which the header has the needed columns; without one, the most frequent."""
    header = _LINE_END.split(text, maxsplit=1)[0]

    def names(separator: str) -> set[str]:
        return {name.strip().casefold() for row in csv.reader([header], delimiter=separator) for name in row}

    fitting = [separator for separator in ",;\t" if names(separator) >= set(NEEDED)]
    return fitting[0] if fitting else max(",;\t", key=header.count)


def _text(file: Path) -> str:
    data = read_corpus_file(file)
    # A spreadsheet's "Unicode text" is UTF-16 with a mark at its start.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise refuse(file, [f"row {row}: it is not UTF-8; save it as “CSV UTF-8” in the spreadsheet"]) from error


def _json_lines(file: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise refuse(file, [f"line {number}: it is not JSON: {error}"]) from error
        if not isinstance(row, dict):
            raise refuse(file, [f"line {number}: it is no object {{…}}"])
        names = [str(name).strip().casefold() for name in row]
        _check_columns(file, names)
        yield number, dict(zip(names, row.values(), strict=True))


def _check_columns(file: Path, names: Sequence[str]) -> None:
    """Refuse a header without the needed columns, with one twice, or with one that looks like a slip of a known one."""
    faults = [f"no column `{name}`; the columns are {', '.join(filter(None, names)) or 'none'}" for name in NEEDED
              if name not in names]  # fmt: skip
    faults += [f"the column `{name}` stands twice" for name in sorted({n for n in names if n and names.count(n) > 1})]
    for name in names:
        meant = nearest(name, COLUMNS)
        if name not in COLUMNS and "did you mean" in meant:
            faults.append(f"the column `{name}` is not known; {meant}")
    if faults:
        raise refuse(file, faults)


def _row(cells: Mapping[str, Any]) -> Row:
    """Return a checked row; ValueError says what is wrong."""
    values: dict[str, Any] = {}
    for name in COLUMNS:
        cell = _clean(name, cells.get(name))
        if cell is None or cell == "":
            continue
        if name in NUMBERS:
            values[name] = _number(name, cell)
        elif name == "votes":
            values[name] = _votes(cell)
        elif isinstance(cell, (dict, list)):
            raise ValueError(f"{name} is {cell!r}, not a text")
        else:
            values[name] = str(cell)
    for name in NEEDED:
        if name not in values:
            raise ValueError(f"no {name}")
    for name in ("path", "audio"):
        if name in values:
            values[name] = _path(name, values[name])
    side = values.get("side", "whole").casefold()
    if side not in SIDES:
        raise ValueError(f"side is '{side}', not {', '.join(SIDES)}")
    row = Row(**values | {"side": cast("Side", side)})
    if row.key and not _KEY.fullmatch(row.key):
        raise ValueError(f"key '{row.key}': use up to 80 of A-Z a-z 0-9 _ -")
    if (row.start_s is None) != (row.end_s is None):
        raise ValueError("start_s and end_s belong together: give both or neither")
    if row.start_s is not None and row.end_s is not None and not 0 <= row.start_s < row.end_s:
        raise ValueError(f"it starts at {row.start_s:g} s and ends at {row.end_s:g} s")
    return row


def _clean(name: str, cell: Any) -> Any:
    """Return a cell without blanks at its ends, letters composed (NFC); None for NaN, which Python writes for no value.

    ValueError for text that is not Unicode.
    """
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if not isinstance(cell, str):
        return cell
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds a character that is not Unicode") from error
    return unicodedata.normalize("NFC", cell.strip())


def plain(path: str) -> str:
    """Return a path by which names that differ in case or Unicode form are equal.

    >>> plain("Ä.WAV") == plain("a\u0308.wav")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _number(name: str, cell: Any) -> float:
    # A spreadsheet may write a decimal comma; with one group of three digits it may separate thousands.
    text = cell.replace(",", ".") if isinstance(cell, str) and not _THOUSANDS.fullmatch(cell) else cell
    try:
        value = float("nan") if isinstance(text, bool) else float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is '{cell}', not a number")
    return value


def _votes(cell: Any) -> tuple[tuple[str, str], ...]:
    """Return (rater, vote) from `sad;happy;sad`, `anna=sad;ben=happy`, a JSON list or a JSON object."""
    pairs: list[tuple[str, str]] = []
    if isinstance(cell, Mapping):
        pairs = [(str(rater), vote) for rater, vote in cell.items()]
    else:
        votes = cell if isinstance(cell, list) else [vote for vote in str(cell).split(";") if vote.strip()]
        for number, vote in enumerate(votes, 1):
            rater, equals, label = str(vote).partition("=")
            named = equals and isinstance(vote, str)
            pairs.append((rater.strip(), label) if named else (f"rater{number}", vote))
    clean = [(_clean("votes", rater), _clean("votes", vote)) for rater, vote in pairs]
    if not all(isinstance(vote, str) and vote and rater for rater, vote in clean):
        raise ValueError(f"votes are {cell!r}: write a label for each rater, as sad;happy or anna=sad;ben=happy")
    if len({rater for rater, _ in clean}) < len(clean):
        raise ValueError(f"votes are {cell!r}: a rater stands twice")
    return tuple(clean)


def _path(name: str, text: str) -> str:
    """Return a path below the root with `/` between its parts; ValueError where it leads out of the root."""
    if _WINDOWS.match(text) or text.startswith(("/", "\\")):
        raise ValueError(f"{name} '{text}' is absolute; write it relative to the corpus' root")
    parts = PurePosixPath(text.replace("\\", "/")).parts
    if not parts:
        raise ValueError(f"{name} '{text}' names no file")
    if ".." in parts:
        raise ValueError(f"{name} '{text}' leads out of the corpus' root")
    return "/".join(parts)
