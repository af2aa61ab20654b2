"""Plans a corpus with the dialogues, turns, times and raw labels of a given table of utterances.

`foalnet draw --structure` reads the table: tab-separated, one row per utterance, columns utterance, label, start_s,
end_s, names in IEMOCAP's grammar. Only cues, looks away and voices are random.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foalnet.config.draw import Draw
from foalnet.core.errors import DataError, reason
from foalnet.drawn.plan import Dialogue, Turn, stream, timed_dialogue
from foalnet.drawn.rule import FACE_CUES, RAW_LABELS, SOUND_CUES, Cell, joint
from foalnet.drawn.text import is_label

# A copy of IEMOCAP's grammar of names: this room must not depend on the readers. A test compares the two.
_KEY = re.compile(r"(?P<dialogue>Ses0[1-5][FM]_(?:impro|script)[0-9]{2}(?:_[0-9])?[a-z]?)_(?P<letter>[FM])[0-9]{3}")
COLUMNS = ("utterance", "label", "start_s", "end_s")
CLASS_OF = {raw: name for name, raws in RAW_LABELS.items() for raw in raws}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One utterance of the table."""

    key: str
    raw_label: str
    start_s: float
    end_s: float


def read_structure(path: Path) -> list[Row]:
    """Return the rows in the order of the file (DataError, exit 3, with file and line of an unusable row)."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"the table cannot be read: {reason(error)}") from error
    table = csv.reader(io.StringIO(text), delimiter="\t")
    if next(table, None) != list(COLUMNS):
        raise _refused(path, f"line 1: the columns must be {', '.join(COLUMNS)}, separated by tabs")
    rows: list[Row] = []
    seen: set[str] = set()
    for line, cells in enumerate(table, 2):
        try:
            key, raw_label, start_s, end_s = cells[0], cells[1], float(cells[2]), float(cells[3])
        except (IndexError, ValueError) as error:
            raise _refused(path, f"line {line}: {reason(error)}") from error
        if _KEY.fullmatch(key) is None or key in seen:
            raise _refused(path, f"line {line}: '{key}' occurs twice or is not a name of an utterance")
        if not is_label(raw_label) or not 0 <= start_s < end_s < math.inf:
            raise _refused(path, f"line {line}: '{raw_label}' from {start_s} s to {end_s} s cannot be drawn")
        seen.add(key)
        rows.append(Row(key=key, raw_label=raw_label, start_s=start_s, end_s=end_s))
    if not rows:
        raise _refused(path, "the table has no utterance")
    return rows


def plan_structure(params: Draw, rows: Iterable[Row]) -> list[Dialogue]:
    """Return the dialogues of the table by session and name; each used utterance gets a case of its class.

    The kinds have the shares of the params. The order of the rows has no effect.
    """
    by_dialogue: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_dialogue[_part(row.key, "dialogue")].append(row)
    numbers: dict[int, int] = defaultdict(int)
    dialogues = []
    for name in sorted(by_dialogue):
        session = int(name[4])
        dialogues.append(_planned(params, name, session, numbers[session], by_dialogue[name]))
        numbers[session] += 1
    return dialogues


def shortest(dialogues: Iterable[Dialogue], per_session: int) -> set[str]:
    """Return the names of the `per_session` shortest dialogues of each session."""
    by_session: dict[int, list[Dialogue]] = defaultdict(list)
    for dialogue in dialogues:
        by_session[dialogue.session].append(dialogue)
    return {
        each.name
        for members in by_session.values()
        for each in sorted(members, key=lambda d: (d.frames, d.name))[:per_session]
    }


def _planned(params: Draw, name: str, session: int, number: int, rows: list[Row]) -> Dialogue:
    rng = stream(params.seed, session, 11, number)
    marker, cases = name[5], joint(params)
    turns = tuple(
        _turn(row, marker, cases, rng) for row in sorted(rows, key=lambda row: (row.start_s, row.end_s, row.key))
    )
    return timed_dialogue(params, name, session, number, turns)


def _turn(row: Row, marker: str, cases: Mapping[Cell, float], rng: np.random.Generator) -> Turn:
    letter = _part(row.key, "letter")
    label = CLASS_OF.get(row.raw_label)
    cell = None
    if label is None:
        sound = SOUND_CUES[int(rng.integers(len(SOUND_CUES)))]
        face = FACE_CUES[int(rng.integers(len(FACE_CUES)))]
    else:
        own = sorted(case for case in cases if case.label == label)
        weight = np.array([cases[case] for case in own])
        cell = own[int(rng.choice(len(own), p=weight / weight.sum()))]
        sound, face = cell.sound, cell.face
    return Turn(
        key=row.key,
        speaker=letter,
        side="left" if letter == marker else "right",
        start_s=row.start_s,
        end_s=row.end_s,
        used=cell is not None,
        raw_label=row.raw_label,
        cell=cell,
        sound=sound,
        face=face,
    )


def _part(key: str, name: str) -> str:
    match = _KEY.fullmatch(key)
    assert match is not None, f"read_structure let {key} pass"
    return match[name]


def _refused(path: Path, what: str) -> DataError:
    return DataError(
        what,
        file=path,
        action=f"give a table with the columns {', '.join(COLUMNS)}, one row per utterance",
    )
