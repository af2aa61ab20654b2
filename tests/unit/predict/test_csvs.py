"""Predictions as CSV: one cell for each column, and no cell that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from foalnet.predict.csvs import csv_row, header, safe

CLASSES = ("happy", "sad")
ROW: dict[str, Any] = {
    "clip": "a.mp4", "side": "whole", "start_s": 0.0, "end_s": 2.0, "label": "sad",
    "probabilities": {"happy": 0.25, "sad": 0.75}, "sound": "found", "picture": "none",
    "frames": {"total": 9, "detected": 2, "bridged": 5, "missing": 2, "seen": 7}, "notes": ["first", 'a "second"'],
}  # fmt: skip


def parsed(*rows: dict[str, Any]) -> list[dict[str, str]]:
    text = header(CLASSES) + "".join(csv_row(row, classes=CLASSES) for row in rows)
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_a_prediction_is_a_line() -> None:
    (row,) = parsed(ROW)
    assert row == {
        "clip": "a.mp4", "person": "whole", "start_s": "0.0", "end_s": "2.0", "label": "sad", "happy": "0.25",
        "sad": "0.75", "sound": "found", "picture": "none", "frames_with_face": "7", "notes": 'first; a "second"',
    }  # fmt: skip


def test_what_has_no_prediction_has_a_line_with_the_reason() -> None:
    error = {"exit_code": 3, "what": "no length", "file": None, "next": "give a longer one"}
    clip, window = parsed({"clip": "a.mp4", "error": error}, {**ROW, "error": error, "label": ""})
    assert clip["notes"] == window["notes"] == "error: no length; give a longer one"
    assert (clip["start_s"], clip["sad"], window["start_s"], window["label"]) == ("", "", "0.0", "")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_would_be_a_formula_is_quoted(begin: str) -> None:
    name = f'{begin}HYPERLINK("http://example.org")'
    (row,) = parsed({**ROW, "clip": name, "notes": [name]})
    assert row["clip"].startswith("'") and row["notes"].startswith("'")
    assert row["clip"][1:].endswith('HYPERLINK("http://example.org")')


def test_a_name_with_a_line_break_or_bytes_of_no_encoding_stays_in_its_cell() -> None:
    assert safe("a\nb\udce9.mp4") == "a\\nb\\udce9.mp4"
    (row,) = parsed({**ROW, "clip": "a\nb,c\udce9.mp4"})
    assert row["clip"] == "a\\nb,c\\udce9.mp4" and row["notes"]
