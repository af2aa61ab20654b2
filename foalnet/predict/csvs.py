"""Writes predictions as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foalnet.core.spreadsheets import safe


def header(classes: Sequence[str]) -> str:
    """Return the line with the names of the columns."""
    before, after = ("clip", "person", "start_s", "end_s", "label"), ("sound", "picture", "frames_with_face", "notes")
    return _line([*before, *map(safe, classes), *after])


def csv_row(row: Mapping[str, Any], *, classes: Sequence[str]) -> str:
    """Return a prediction's row as a line of CSV; of a clip or window without one the notes say why."""
    frames = row.get("frames")
    notes = [f"error: {row['error']['what']}; {row['error']['next']}"] if "error" in row else row["notes"]
    return _line(
        [
            safe(row["clip"]),
            row.get("side", ""),
            row.get("start_s"),
            row.get("end_s"),
            safe(row.get("label", "")),
            *(row.get("probabilities", {}).get(name) for name in classes),
            row.get("sound", ""),
            row.get("picture", ""),
            None if frames is None else frames["detected"] + frames["bridged"],
            safe("; ".join(notes)),
        ]
    )


def _line(cells: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
