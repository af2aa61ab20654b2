"""Protocols side by side: stamped, from the runs' own figures, with the split gap and the published tables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import artifacts
from foalnet.config import Params
from foalnet.core.errors import DataError
from foalnet.core.files import jsonl_bytes, publish_bytes, read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.evidence.report import build, headline
from foalnet.evidence.report.phrases import percent, points
from tests.support.corpus.results import make_params
from tests.support.corpus.rows import make_speakers
from tests.support.pages import Page, markdown_tables
from tests.support.sealing import reseal, revouch_run
from tests.unit.evidence.test_report import make

DEV, FIXED, BEST_ON_TEST = "loso_dev_session", "loso_fixed_epochs", "paper_best_on_test"
ALL = [DEV, FIXED, BEST_ON_TEST]
Built = tuple[Params, Paths]


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Built:
    params = make_params(variants=["audio_only", "foal"], protocols=ALL, seeds=[1, 2])
    return params, make(tmp_path_factory.mktemp("every"), params)


def text_of(paths: Paths) -> str:
    return Page(paths.report_html.read_text()).text.replace("\N{NO-BREAK SPACE}", " ")


def table_of(paths: Paths, first: str, second: str) -> list[list[str]]:
    """The table with a head that starts with two names."""
    tables = Page(paths.report_html.read_text()).tables
    return next(table for table in tables if table[0][0] == first and table[0][1].startswith(second))


def pooled(paths: Paths, variant: str, protocol: str, metric: str) -> float:
    values = [read_json(paths.run(variant, seed, protocol) / "metrics.json")["pooled"][metric] for seed in (1, 2)]
    return float(np.mean(values))


def test_alone_the_headlines_protocol_has_no_such_section(tmp_path: Path) -> None:
    paths = make(tmp_path, make_params(variants=["foal"]))
    assert "Under other protocols" not in text_of(paths)
    assert not {"protocols", "gaps"} & set(read_json(paths.metrics))
    assert "every protocol" not in headline(paths)


def test_scores_stand_side_by_side_each_stamped(every: Built) -> None:
    _, paths = every
    titles = re.findall(r"<h2>(.*?)</h2>", paths.report_html.read_text())
    assert titles[5] == "Under other protocols", "the answers come first"
    table = table_of(paths, "Variant", DEV)
    assert table[0][1:] == [
        f"{DEV} (chosen on a dev part; the headline)",
        f"{FIXED} (nothing chosen)",
        f"{BEST_ON_TEST} (optimistic: chosen on the test part)",
    ]
    for row in table[1:]:
        for cell, protocol in zip(row[1:], ALL, strict=True):
            assert cell.split()[0] == percent(pooled(paths, row[0], protocol, "ua"))
    assert "so no one can expect this score from new recordings" in text_of(paths)
    assert "They are not part of the result above" in text_of(paths)


def test_the_headline_stays_what_it_is_without_the_others(every: Built, tmp_path: Path) -> None:
    _, paths = every
    metrics = read_json(paths.metrics)
    alone = read_json(make(tmp_path, make_params(variants=["audio_only", "foal"], seeds=[1, 2])).metrics)
    assert metrics["protocol"] == DEV
    alone.pop("seal")
    assert {name: metrics[name] for name in alone} == alone
    assert metrics["protocols"][DEV]["variants"]["foal"]["ua"] == metrics["variants"]["foal"]["ua"]
    assert [metrics["protocols"][name]["optimistic"] for name in ALL] == [False, False, True]


def test_the_gap_is_split_into_two_effects_that_add_up(every: Built) -> None:
    _, paths = every
    gaps = read_json(paths.metrics)["gaps"]
    for variant, gap in gaps.items():
        scores = {protocol: pooled(paths, variant, protocol, "ua") for protocol in ALL}
        assert gap["selection"]["ua"] == pytest.approx(scores[BEST_ON_TEST] - scores[FIXED], abs=2e-6)
        assert gap["fourth_session"]["ua"] == pytest.approx(scores[FIXED] - scores[DEV], abs=2e-6)
        assert gap["together"]["ua"] == pytest.approx(gap["selection"]["ua"] + gap["fourth_session"]["ua"], abs=3e-6)
        for effect in gap.values():
            assert effect["ua_low"] < effect["ua"] < effect["ua_high"]
    row = table_of(paths, "Variant", "choosing on the test part")[2]
    assert [cell.split()[0] for cell in row] == [
        "foal", *(points(gaps["foal"][name]["ua"]) for name in ("selection", "fourth_session", "together"))
    ]  # fmt: skip
    text = text_of(paths)
    assert f"Under {BEST_ON_TEST} foal scores {points(gaps['foal']['together']['ua'])} points of UA" in text
    assert "It cannot be negative in any fold" in text
    assert "that the last epoch replaces a chosen one" in text


def test_markdown_has_the_same_tables(every: Built) -> None:
    web = Page(every[1].report_html.read_text()).tables
    twin = markdown_tables(every[1].report_md.read_text())
    assert [len(table) for table in web] == [len(table) for table in twin]
    assert [table[0] for table in web] == [table[0] for table in twin]


def test_the_terminal_and_the_artifact_show_them_stamped(every: Built) -> None:
    _, paths = every
    metrics = read_json(paths.metrics)
    shown = headline(paths)
    assert f"{BEST_ON_TEST} (optimistic)" in shown and FIXED in shown
    selection = points(metrics["gaps"]["foal"]["selection"]["ua"])
    assert re.search(rf"foal: choosing on the test part +{re.escape(selection)} ", shown)
    assert "foal: one more session trains" in shown
    artifact = artifacts.metrics(paths)
    assert "optimistic: chosen on the test part" in artifact
    fixed = percent(metrics["protocols"][FIXED]["variants"]["foal"]["ua"])
    assert f"| {fixed} | " in artifact
    assert "## Confusion of foal-s1\n" in artifact


def test_without_the_fixed_epochs_the_gap_is_shown_whole_with_advice_to_split_it(tmp_path: Path) -> None:
    params = make_params(variants=["foal"], protocols=[DEV, BEST_ON_TEST])
    paths = make(tmp_path, params)
    assert list(read_json(paths.metrics)["gaps"]["foal"]) == ["together"]
    assert "the gap would be split in two without further training" in text_of(paths)
    assert f"{FIXED} (nothing chosen)" not in text_of(paths)


def test_a_run_that_lacks_under_one_protocol_is_named(tmp_path: Path) -> None:
    params = make_params(variants=["audio_only", "foal"], protocols=ALL)
    paths = make(tmp_path, params)
    shutil.rmtree(paths.run("audio_only", 1, FIXED))
    build(params, paths)
    assert f"Variant audio_only, seed 1 has not been evaluated under {FIXED}" in text_of(paths)
    row = table_of(paths, "Variant", DEV)[1]
    assert row[0] == "audio_only" and row[2] == "–" and row[3] != "–"
    assert "foal" in read_json(paths.metrics)["protocols"][FIXED]["variants"]
    assert "–" in headline(paths)


@pytest.mark.parametrize(
    ("what", "says"), [("label", "the label is"), ("protocol", "belongs to another run, .*protocol other")]
)
def test_runs_of_another_question_are_refused_under_every_protocol(tmp_path: Path, what: str, says: str) -> None:
    params = make_params(variants=["foal"], protocols=ALL)
    paths = make(tmp_path, params)
    folder = paths.run("foal", 1, FIXED)
    if what == "label":
        rows: list[Any] = read_jsonl(folder / "predictions.jsonl")
        rows[0]["label"] = "sad" if rows[0]["label"] != "sad" else "happy"
        publish_bytes(folder / "predictions.jsonl", jsonl_bytes(rows))
        revouch_run(folder)
    else:
        reseal(folder / "metrics.json", lambda facts: facts | {"protocol": "other"})
    with pytest.raises(DataError, match=says) as caught:
        build(params, paths)
    assert FIXED in str(caught.value.file)


def test_a_corpus_folded_by_speaker_speaks_of_groups_in_every_protocol(tmp_path: Path) -> None:
    params = make_params(
        "ravdess4",
        reader="ravdess",
        variants=["foal"],
        protocols=ALL,
        train={"picture": "features", "fold_by": "speaker"},
    )
    text = text_of(make(tmp_path, params, make_speakers(params)))
    assert "4 of 5 groups of speakers train, one is tested, and the last of 8 epochs is used" in text
    assert "one more group of speakers trains" in text


def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    variants = ["audio_only", "video_only", "foal", "foal_half"]
    params = make_params("iemocap", variants=variants, protocols=ALL)
    paths = make(tmp_path, params)
    metrics = read_json(paths.metrics)
    rows = {(row[0], row[1]): row for row in table_of(paths, "Input", "Method")[1:]}

    def ours(variant: str) -> list[str]:
        """The figures that a row of this variant must show: the headline's, then those under the published rule."""
        tables = (metrics["variants"], metrics["protocols"][BEST_ON_TEST]["variants"])
        return [percent(table[variant][metric], 2) for table in tables for metric in ("ua", "wa")]

    def shown(row: list[str]) -> list[str]:
        return [cell.split()[0] for cell in row[5:]]

    assert rows[("V, face only", "EmoNet")][2:] == ["–", "37.22", "36.50", *["–"] * 4], "quoted, not rebuilt"
    assert rows[("A", "WavLM")][2:5] == ["audio_only", "77.68", "77.25"] and shown(rows[("A", "WavLM")]) == ours(
        "audio_only"
    )
    foal = rows[("A+V", "baseline + AVEL + MEM")]
    assert foal[2:5] == ["foal_half", "80.10", "79.45"], "the paper's picture is the half"
    assert shown(foal) == ours("foal_half")
    face = rows[("A+V, face only", "baseline + AVEL + MEM")]
    assert face[2:5] == ["foal", "–", "–"] and shown(face) == ours("foal")
    assert rows[("V, whole half-picture", "CLIP")][2] == "–", "its variant was not trained"
    assert rows[("V, face only", "this project's video encoder")][2] == "video_only"
    assert ("A+V, face only", "baseline + MEM") not in rows
    table_1 = table_of(paths, "Method", "Input")
    assert len(table_1) == 14 and table_1[-1][:6] == ["Foal-Net", "A+V", "foal_half", "2024", "80.10", "79.45"]
    assert "may be exchanged" in text_of(paths) and "Only the columns under paper_best_on_test" in text_of(paths)


def test_where_all_look_at_the_half_picture_the_plain_names_correspond(tmp_path: Path) -> None:
    params = make_params("iemocap", variants=["foal"], train={"picture": "half"})
    rows = table_of(make(tmp_path, params), "Input", "Method")
    assert [row for row in rows if row[1] == "baseline + AVEL + MEM"] == [rows[-1]]
    assert rows[-1][2] == "foal" and len(rows[0]) == 7, "no column of a protocol that was not requested"


def test_the_picture_of_the_half_variants_is_stated(tmp_path: Path) -> None:
    text = text_of(make(tmp_path, make_params(variants=["foal", "foal_half"])))
    assert "face; half for foal_half" in text
    assert "Foal-Net: fusion with both auxiliary tasks, half picture" in text
