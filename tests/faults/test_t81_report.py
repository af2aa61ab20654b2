"""T81: the same bytes for the same predictions; the page opens without a network; hostile names stay text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.artifact.seal import publish_sealed
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.evidence.report import build
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.support.corpus.entries import FOUR_CLASSES
from tests.support.corpus.results import BEST, make_params, write_model, write_stages
from tests.support.corpus.rows import make_utterances
from tests.support.pages import Page, markdown_tables
from tests.support.sealing import revouch_run

HOSTILE = "<script>alert('1')</script>"
TRANSCRIPT = "these words were spoken in confidence"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a corpus with markup in the names of classes, sessions, speakers and dropped items."""
    home = tmp_path_factory.mktemp("hostile")
    params = make_params(manifest={"classes": HOSTILE_CLASSES})
    paths = Paths("drawn", home)
    utterances = [
        replace(
            u,
            session=f'{u.session}"><img src=x onerror=alert(1)>',
            speaker=f"{u.speaker}|</td>`",
            transcript=TRANSCRIPT,
        )
        for u in make_utterances(params)
    ]
    write_stages(params, paths, utterances, {"drawn": True, "best_scores": BEST})
    counts = read_json(paths.counts)
    counts["entries"] = [{"kind": "dropped", "item": f"{HOSTILE}\n| a | b", "reason": "wav_missing", "detail": ""}]
    counts["ledger"]["dropped/wav_missing"] = 1
    publish_sealed(paths.counts, counts)
    for variant in params.variants:
        write_model(params, paths, utterances, variant)
        evaluate_run(params, paths, variant=variant, seed=1)
    return home


HOSTILE_CLASSES = {HOSTILE: ["hap", "exc"], **{name: raws for name, raws in FOUR_CLASSES.items() if name != "happy"}}


def report(home: Path) -> dict[str, bytes]:
    """Build the report below `home` and return its files."""
    paths = Paths("drawn", home)
    build(make_params(manifest={"classes": HOSTILE_CLASSES}), paths)
    return {path.name: path.read_bytes() for path in (paths.report_html, paths.report_md, paths.metrics)}


def test_t81_hostile_names_are_text_and_nothing_else(home: Path) -> None:
    files = report(home)
    page = Page(files["report.html"].decode())
    assert page.faults == []
    assert not {"script", "img", "iframe", "object", "embed", "form", "foreignobject"} & set(page.elements)
    assert page.handlers == []
    assert page.text.count(HOSTILE) >= 8, "the class is shown as it is named"
    assert "onerror=alert(1)" in page.text
    text = files["report.md"].decode()
    assert "<" not in text
    for table in markdown_tables(text):
        assert len({len(row) for row in table}) == 1, "a name broke out of its cell"
    assert any(
        cell.startswith(HOSTILE) and "| a | b" in cell
        for table in markdown_tables(text)
        for row in table
        for cell in row
    )


def test_t81_the_page_fetches_nothing(home: Path) -> None:
    page = Page(report(home)["report.html"].decode())
    assert all(address == "data:," or address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert not re.search(r"url\(|@import|@font-face|expression\(", page.style)
    assert "default-src 'none'" in report(home)["report.html"].decode()


@pytest.mark.long
def test_t81_same_bytes_elsewhere_again_and_under_another_locale(home: Path, tmp_path: Path) -> None:
    first = report(home)
    other = tmp_path / "another place" / "deep"
    shutil.copytree(home, other)
    for path in sorted(other.rglob("predictions.jsonl")):
        os.utime(path, (0, 0))
    code = "import pathlib, sys\nfrom tests.faults import test_t81_report as t\nt.report(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", code, str(other)], env=environment, cwd=tmp_path, check=True)
    paths = Paths("drawn", other)
    assert {path.name: path.read_bytes() for path in (paths.report_html, paths.report_md, paths.metrics)} == first


REPOSITORY = Path(__file__).resolve().parents[2]


def test_t81_predictions_in_another_order_are_refused_and_give_no_other_page(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "reversed"
    shutil.copytree(home, other)
    path = Paths("drawn", other).run("foal", 1) / "predictions.jsonl"
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    revouch_run(path.parent)
    with pytest.raises(DataError, match=r"line 2: key .* does not follow"):
        report(other)


def test_t81_nothing_of_the_machine_and_no_spoken_word_is_in_it(home: Path) -> None:
    for name, data in report(home).items():
        text = data.decode()
        assert str(home) not in text, name
        assert os.uname().nodename not in text or len(os.uname().nodename) < 4, name
        assert TRANSCRIPT not in text, name
        assert not re.search(r"\b20\d\d-\d\d-\d\dT|\d\d:\d\d:\d\d", text), name


def test_t81_other_predictions_give_another_page(home: Path, tmp_path: Path) -> None:
    first = report(home)
    other = tmp_path / "changed"
    shutil.copytree(home, other)
    path = Paths("drawn", other).run("foal", 1) / "predictions.jsonl"
    lines = path.read_text().splitlines()
    rows = [line for line in lines if '"predicted": "sad"' in line]
    changed = [
        line.replace('"predicted": "sad"', '"predicted": "angry"') if line in rows[:20] else line for line in lines
    ]
    path.write_text("\n".join(changed) + "\n")
    revouch_run(path.parent)
    assert report(other)["metrics.json"] != first["metrics.json"]
