"""The gain of fusion: the late average computed by hand, counts by kind, the section on the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config.draw import Draw
from foalnet.core.files import read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.core.records import Prediction
from foalnet.drawn.plan import kinds_of, plan
from foalnet.drawn.rule import KINDS, best_by_kind, best_scores, shares
from foalnet.evidence.report import build, headline
from foalnet.evidence.report.late import averaged
from foalnet.evidence.report.results import Calibration, Probabilities, Run, RunFacts, Scores, Training
from tests.support.corpus.results import BEST, make_params
from tests.support.corpus.results import write_report as make
from tests.support.pages import Page

NONE = Scores(
    n=0, metrics={}, recall={}, support={}, absent=(), confusion=(), calibration=Calibration(ece=0.0, bins=())
)
FACTS = RunFacts(
    classes=("a", "b", "c"), cluster="dialogue", protocol="p", select="s", pooled=NONE, folds={}, train=Training(),
    probabilities=Probabilities(nll=0.0, brier=0.0, auc=None, ece=0.0, calibrated={}),
)  # fmt: skip


def run_of(seed: int, rows: dict[str, list[float]]) -> Run:
    predictions = {
        key: Prediction(
            key=key, fold="f", session="s", dialogue="d", speaker="p", label="a", predicted="c", probabilities=tuple(p)
        )
        for key, p in rows.items()
    }
    return Run(variant="any", seed=seed, facts=FACTS, rows=predictions)


@pytest.mark.parametrize(
    ("sound", "picture", "wins"),
    [
        ([0.5, 0.4, 0.1], [0.2, 0.7, 0.1], "b"),  # .10, .28, .01
        ([0.9, 0.1, 0.0], [0.3, 0.6, 0.1], "a"),  # .27, .06, .00
        ([0.9, 0.09, 0.01], [0.0, 0.1, 0.9], "c"),  # .000, .009, .009, and the sums .19 and .91 decide
        ([0.9, 0.1, 0.0], [0.05, 0.6, 0.35], "b"),  # .045, .060, .000; a mean would say a
        ([1.0, 0.0, 0.0], [0.0, 0.4, 0.6], "a"),  # nothing but zeros: the larger sum
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], "a"),  # a tie: the first class
    ],
)
def test_the_largest_product_wins(sound: list[float], picture: list[float], wins: str) -> None:
    (run,) = averaged((run_of(1, {"k": sound}),), (run_of(1, {"k": picture}),))
    assert run.rows["k"].predicted == wins


def test_seeds_are_paired_and_what_one_lacks_is_left_out() -> None:
    sound = (run_of(1, {"k": [1, 0, 0], "l": [1, 0, 0]}), run_of(2, {"k": [0, 1, 0]}), run_of(3, {"k": [0, 0, 1]}))
    picture = (run_of(2, {"k": [0, 1, 0]}), run_of(1, {"k": [1, 0, 0]}))
    pairs = averaged(sound, picture)
    assert [(run.seed, {key: row.predicted for key, row in run.rows.items()}) for run in pairs] == [
        (1, {"k": "a"}),
        (2, {"k": "b"}),
    ]
    assert sound[0].rows["k"].predicted == "c"  # what was given is as it was


def test_the_kinds_of_the_plan() -> None:
    params = Draw()
    kinds = kinds_of(params)
    assert len(kinds) == 5 * params.dialogues_per_session * params.used_per_dialogue
    assert Counter(kinds.values()) == {"both": 150, "sound": 100, "face": 50, "interaction": 120}
    cases = {turn.key: turn.cell for dialogue in plan(params) for turn in dialogue.turns}
    assert all((cell := cases[key]) is not None and cell.kind == kind for key, kind in kinds.items())


def test_the_best_of_each_kind_by_hand_and_their_mean_is_the_best_of_all() -> None:
    best = best_by_kind()
    quarter, half = pytest.approx(0.25), pytest.approx(0.5)
    seen = ("sound", "picture", "late_average", "both")
    assert {kind: tuple(best[kind][name] for name in seen) for kind in KINDS} == {
        "both": (1, 1, 1, 1),
        "sound": (1, quarter, 1, 1),
        "face": (quarter, 1, 1, 1),
        "interaction": (quarter, quarter, quarter, half),
    }
    share = shares(Draw())
    for name in seen:
        assert sum(share[kind] * best[kind][name] for kind in KINDS) == pytest.approx(best_scores(Draw())[name])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, dict[str, Any], dict[str, str]]:
    """A report of 420 utterances, every third of kind "interaction", the others "both"."""
    params = make_params()
    paths = make(tmp_path_factory.mktemp("fusion"), params, best=BEST)
    keys = sorted(row["key"] for row in read_jsonl(paths.run("foal", 1) / "predictions.jsonl"))
    of = {key: "interaction" if i % 3 == 0 else "both" for i, key in enumerate(keys)}
    facts = {"drawn": True, "best_scores": BEST, "best_by_kind": best_by_kind(), "kinds": of}
    publish_sealed(paths.inventory, read_sealed(paths.inventory, again="inventory@drawn") | {"facts": facts})
    return paths, build(params, paths), of


def right(paths: Paths, variant: str, keys: set[str]) -> float:
    rows = [row for row in read_jsonl(paths.run(variant, 1) / "predictions.jsonl") if row["key"] in keys]
    return sum(row["label"] == row["predicted"] for row in rows) / len(rows)


def test_each_kind_counts_its_own_utterances(built: tuple[Paths, dict[str, Any], dict[str, str]]) -> None:
    paths, metrics, of = built
    average = metrics["late_average"]["late_average"]
    assert average["of"] == ["audio_only", "video_only"]
    assert {kind: row["n"] for kind, row in average["kinds"].items()} == {"both": 280, "interaction": 140}
    for kind, row in average["kinds"].items():
        keys = {key for key, its in of.items() if its == kind}
        for variant in ("audio_only", "video_only", "baseline", "foal"):
            assert row["right"][variant]["share"] == pytest.approx(right(paths, variant, keys), abs=1e-6)
        gap = row["differences"]["foal_minus_late_average"]["share"]
        assert gap == pytest.approx(row["right"]["foal"]["share"] - row["right"]["late_average"]["share"], abs=2e-6)
        assert row["right"]["late_average"]["share_low"] < row["right"]["late_average"]["share"]
    assert average["kinds"]["interaction"]["right"]["foal"]["best_possible"] == 0.5
    assert average["kinds"]["interaction"]["right"]["late_average"]["best_possible"] == 0.25
    assert average["ua_best_possible"] == BEST["late_average"]
    assert set(average["differences"]) == {"baseline_minus_late_average", "foal_minus_late_average"}
    assert average == read_json(paths.metrics)["late_average"]["late_average"]


def test_page_and_terminal_say_it(built: tuple[Paths, dict[str, Any], dict[str, str]]) -> None:
    paths, metrics, _ = built
    average = metrics["late_average"]["late_average"]
    text = paths.report_html.read_text()
    assert "<h2>What fusion adds</h2>" in text
    assert "For 140 utterances only sound and picture together determine the class." in text
    won = (average["ua"] - 0.25) / (BEST["late_average"] - 0.25)
    rows = [row for table in Page(text).tables for row in table]
    assert ["late_average", f"{100 * average['ua']:.1f}", "79.0", f"{100 * won:.1f}"] in rows
    said = headline(paths)
    assert f"late_average of audio_only and video_only: {100 * average['ua']:.1f} % UA" in said
    head = next(line for line in said.splitlines() if line.startswith("correct %, by kind"))
    assert head.split()[5:] == [
        "audio_only",
        "video_only",
        "late_average",
        "baseline",
        "foal",
        "best",
        "possible",
        "%",
    ]


def test_without_a_rule_the_average_stands_alone_and_without_both_singles_nothing_does(tmp_path: Path) -> None:
    paths = make(tmp_path / "a", make_params())
    metrics = read_json(paths.metrics)
    assert "kinds" not in metrics["late_average"]["late_average"]
    assert "By kind" not in headline(paths)
    assert "Part reached" not in paths.report_html.read_text()
    paths = make(tmp_path / "b", make_params(variants=["audio_only", "foal"], final={"variant": "foal", "seed": 1}))
    assert "late_average" not in read_json(paths.metrics)
    assert "What fusion adds" not in paths.report_html.read_text()


def test_the_half_picture_has_its_own_average(tmp_path: Path) -> None:
    names = ["audio_only", "video_only", "foal", "video_only_half", "foal_half"]
    paths = make(tmp_path, make_params(variants=names))
    averages = read_json(paths.metrics)["late_average"]
    assert {name: (row["of"], list(row["differences"])) for name, row in averages.items()} == {
        "late_average": (["audio_only", "video_only"], ["foal_minus_late_average"]),
        "late_average_half": (["audio_only", "video_only_half"], ["foal_half_minus_late_average_half"]),
    }
