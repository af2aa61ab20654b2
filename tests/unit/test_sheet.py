"""Audit sheets: every utterance with its crops and reasons, offline, the same bytes, only in work/."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from foalnet.artifact.seal import publish_sealed
from foalnet.core.errors import UsageError
from foalnet.core.files import publish_bytes
from foalnet.core.paths import Paths
from foalnet.shards import open_shards
from foalnet.sheet import write_sheets
from foalnet.sheet.view import strip
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import clips_tree

DIALOGUES = ("Ses01F_impro01", "Ses01M_impro02")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project with shards and staging report at the places of `Paths`; the second video ends early."""
    home = tmp_path_factory.mktemp("sheets")
    root = clips_tree(home / "root", DIALOGUES)
    video = root / "Session1" / "dialog" / "avi" / "DivX" / f"{DIALOGUES[1]}.avi"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    place = Sheets(home=home, root=root)
    place.stage()
    return place


class Sheets(Place):
    """A place with the project's own folders."""

    @property
    def paths(self) -> Paths:
        return Paths(self.corpus, self.home)

    @property
    def out(self) -> Path:
        return self.paths.shards

    @property
    def report(self) -> Path:
        return self.paths.staging


def pages(place: Sheets) -> dict[str, str]:
    return {p.name: p.read_text("utf-8") for p in sorted((place.settings.work / "sheets" / place.corpus).iterdir())}


def listing(home: Path) -> set[str]:
    return {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}


def test_every_utterance_stands_on_its_dialogues_sheet_with_mask_and_reasons(staged: Sheets) -> None:
    before = listing(staged.home)
    summary = write_sheets(staged.paths, staged.settings)
    assert summary.dialogues == 2 and summary.page.name == "index.html"
    # Nothing is written but into the git-ignored work folder.
    assert all(name.startswith("work/sheets/tiny/") for name in listing(staged.home) - before)
    sheets = pages(staged)
    assert set(sheets) == {"index.html", *(f"{name}.html" for name in DIALOGUES)}
    for sample in open_shards(staged.out).samples():
        meta = json.loads(sample.members["json"])
        page = sheets[f"{meta['dialogue']}.html"]
        assert f"<h2>{meta['key']}</h2>" in page and meta["speaker"] in page
        shown = strip(sample, frozenset())
        assert len(shown.thumbs) == 1 + int((meta["video"]["times_s"][-1] - meta["video"]["times_s"][0]) / 0.25 + 1e-6)
        assert sum(count for _, count in shown.counts) == len(meta["video"]["times_s"]) == shown.frames
        assert abs(sum(run.length for run in shown.mask) - 100) < 0.5
    assert "the video had ended" in sheets[f"{DIALOGUES[1]}.html"]
    assert "the video had ended" not in sheets[f"{DIALOGUES[0]}.html"]


def test_sides_and_confidence_stand_on_top(staged: Sheets) -> None:
    write_sheets(staged.paths, staged.settings)
    rows = json.loads(staged.report.read_bytes())["sides"]["dialogues"]
    for row in rows:
        page = pages(staged)[f"{row['dialogue']}.html"]
        assert f"Staged left: <strong>{row['left']}</strong>, right: <strong>{row['right']}</strong>" in page
        assert f"confidence {row['audit']['confidence']:.4f}" in page
        assert page.count("alone speaks for the other half") == len(row["audit"]["against"])


def test_the_same_shards_give_the_same_bytes_and_one_page_is_the_one_of_all(staged: Sheets) -> None:
    write_sheets(staged.paths, staged.settings)
    every = pages(staged)
    summary = write_sheets(staged.paths, staged.settings, DIALOGUES[1])
    assert summary.page.name == f"{DIALOGUES[1]}.html" and pages(staged) == every


def test_pages_are_offline_and_hold_no_script(staged: Sheets) -> None:
    write_sheets(staged.paths, staged.settings)
    for page in pages(staged).values():
        assert "default-src 'none'" in page and "<script" not in page
        assert [a for a in re.findall(r'(?:src|href)="([^"]*)"', page) if not re.match(r"data:|Ses\w+\.html$", a)] == []
        assert "url(" not in page and "@import" not in page


def test_names_are_escaped_and_doubts_come_first(staged: Sheets) -> None:
    kept = staged.report.read_bytes()
    account = json.loads(kept)
    first, second = account["sides"]["dialogues"]
    first["left"] = "<script>alert(1)</script>"
    second["audit"] |= {"agrees": False, "sure": True, "confidence": 0.9999}
    try:
        publish_sealed(staged.report, account)
        write_sheets(staged.paths, staged.settings)
        sheets = pages(staged)
    finally:
        publish_bytes(staged.report, kept)
    assert "<script" not in "".join(sheets.values())
    assert "&lt;script&gt;" in sheets["index.html"] and "&lt;script&gt;" in sheets[f"{DIALOGUES[0]}.html"]
    assert sheets["index.html"].index(DIALOGUES[1]) < sheets["index.html"].index(DIALOGUES[0])
    assert "sound and motion DISAGREE" in sheets[f"{DIALOGUES[1]}.html"]


def test_without_an_account_the_sheet_says_so(staged: Sheets) -> None:
    kept = staged.report.read_bytes()
    try:
        staged.report.unlink()
        write_sheets(staged.paths, staged.settings, DIALOGUES[0])
        assert "staging.json) is not here" in pages(staged)[f"{DIALOGUES[0]}.html"]
    finally:
        publish_bytes(staged.report, kept)


def test_an_unknown_dialogue_is_refused_with_the_nearest(staged: Sheets) -> None:
    with pytest.raises(UsageError, match="did you mean 'Ses01F_impro01'"):
        write_sheets(staged.paths, staged.settings, "Ses01F_impro1")
