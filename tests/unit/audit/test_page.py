"""Text and page of an audit: the sections, and names that are no markup."""

from __future__ import annotations

from pathlib import Path

from foalnet.audit import audit
from foalnet.audit.page import page, text
from tests.support.audits import rows, write


def test_the_sections_stand_in_order_and_a_check_is_one_line(tmp_path: Path) -> None:
    shown = text(audit([write(tmp_path / "a.jsonl", rows())])).splitlines()
    titles = [shown[at - 1] for at, line in enumerate(shown) if line and set(line) == {"-"}]
    assert titles == ["What was read", "Checks", "Scores", "Intervals", "Calibration"]
    assert "ok       doubled: each utterance stands once for each seed, fold and epoch" in shown
    assert next(line.split() for line in shown if line.startswith("happy")) == ["happy", "40", "40", "75.0", "75.0"]


def test_two_files_of_one_name_are_shown_with_their_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.jsonl", rows())
    shown = text(audit([tmp_path / "one" / "a.jsonl", tmp_path / "two" / "a.jsonl"]))
    assert "a is one/a.jsonl, b is two/a.jsonl" in shown and "Both files have the same predicted class" in shown


def test_names_are_no_markup_and_no_control_characters(tmp_path: Path) -> None:
    of = [
        {"key": f"<script>alert({at})</script>|\x1b[31m", "label": name, "pred": "<b>x</b>"}
        for at, name in enumerate(["<b>x</b>", "`y`\u202e"] * 10)
    ]
    facts = audit([write(tmp_path / "a.jsonl", of)])
    shown = page(facts)
    assert "<script" not in shown and "<b>x" not in shown and "&lt;b&gt;x&lt;/b&gt;" in shown
    assert not {"\x1b", "\u202e"} & set(shown) and not {"\x1b", "\u202e"} & set(text(facts))
    assert "http-equiv" in shown and '<link rel="icon" href="data:,">' in shown
