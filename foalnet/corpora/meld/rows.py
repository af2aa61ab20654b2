"""Reads MELD's own tables: one row per utterance, a file per part of the official split."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foalnet.core.ledger import Ledger
from foalnet.corpora.csvs import read_csv, refuse, repaired

EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")
UNKNOWN = "unknown"
_NUMBER = re.compile(r"[0-9]{1,6}")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2}(?:[.,][0-9]{1,6})?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row; the times are those of the episode, None where they cannot be read or do not end after they start."""

    part: str
    dialogue: int
    utterance: int
    speaker: str
    text: str
    emotion: str
    span_s: tuple[float, float] | None

    @property
    def key(self) -> str:
        """Return the utterance's key: `train_dia0_utt3`."""
        return f"{self.part}_dia{self.dialogue}_utt{self.utterance}"


def read_part(file: Path, part: str, ledger: Ledger) -> list[Row]:
    """Return the rows of one part in their order; `ledger` receives repaired characters.

    DataError (exit 3) names each row with an unknown emotion, a number that is none, or the numbers of another row.
    """
    cells, foreign = read_csv(file, COLUMNS)
    if foreign:
        ledger.repair(file.name, "encoding_repaired", "read as Windows-1252")
    rows: dict[str, Row] = {}
    place: dict[str, int] = {}
    faults: list[str] = []
    for number, one in cells:
        emotion = one["Emotion"].strip().casefold()
        numbers = {name: one[name].strip() for name in ("Dialogue_ID", "Utterance_ID")}
        wrong = [f"{name} is '{text}', not a number" for name, text in numbers.items() if not _NUMBER.fullmatch(text)]
        if emotion not in EMOTIONS:
            wrong.append(f"Emotion is '{one['Emotion']}', not one of {', '.join(EMOTIONS)}")
        faults += [f"row {number}: {what}" for what in wrong]
        if wrong:
            continue
        row = _row(part, one, emotion)
        if place.setdefault(row.key, number) != number:
            faults.append(f"row {number}: {row.key} is in row {place[row.key]} too")
            continue
        rows[row.key] = row
        if repaired(one["Utterance"]) != one["Utterance"]:
            ledger.repair(row.key, "text_repaired")
    if faults:
        raise refuse(file, faults)
    return list(rows.values())


def _row(part: str, cells: Mapping[str, str], emotion: str) -> Row:
    start_s, end_s = (time_s(cells[name]) for name in ("StartTime", "EndTime"))
    return Row(
        part=part,
        dialogue=int(cells["Dialogue_ID"]),
        utterance=int(cells["Utterance_ID"]),
        speaker=speaker_of(cells["Speaker"]),
        text=" ".join(repaired(cells["Utterance"]).split()),
        emotion=emotion,
        span_s=(start_s, end_s) if start_s is not None and end_s is not None and start_s < end_s else None,
    )


def time_s(text: str) -> float | None:
    """Return a time of the tables in seconds; None if it cannot be read.

    >>> time_s("00:20:57,256"), time_s("0:12:32,6"), time_s("soon")
    (1257.256, 752.6, None)
    """
    match = _TIME.fullmatch(text.strip())
    return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3].replace(",", ".")) if match else None


def speaker_of(text: str) -> str:
    """Return a speaker's name with its letters and digits alone: apostrophes and full stops vanish, the rest is `-`.

    So `Phoebe Sr` and `Phoebe Sr.` are one speaker. Several who speak at once are a speaker of their own.

    >>> speaker_of("Joey's Hand Twin"), speaker_of("Mrs. Green"), speaker_of("Guy #1"), speaker_of("")
    ('Joeys-Hand-Twin', 'Mrs-Green', 'Guy-1', 'unknown')
    """
    plain = unicodedata.normalize("NFKD", re.sub("['’.]", "", repaired(text))).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9]+", "-", plain).strip("-") or UNKNOWN
