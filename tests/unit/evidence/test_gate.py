"""The gate on hand-made sides: every refusal, every number, and missing inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from foalnet.artifact.results import write_results
from foalnet.artifact.seal import publish_sealed
from foalnet.config import blocks
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes
from foalnet.core.paths import HEADLINE, Paths
from foalnet.core.records import Prediction
from foalnet.evidence.crossed import Crossed
from foalnet.evidence.gate import Side, decide, markdown, read_side

CLASSES = ("happy", "sad", "angry")
PARAMS = blocks.Gate(max_loss_ua=0.05, max_shrink=0.01, max_more_drops=0.01)


def rows(wrong: int, n: int = 240, *, clusters: int = 30) -> dict[str, dict[str, Any]]:
    """N predictions, `wrong` of them wrong, spread evenly over clusters and classes."""
    bad = set(range(0, n, n // wrong)) if wrong else set()
    bad = set(sorted(bad)[:wrong])
    return {
        f"u{i}": {
            "key": f"u{i}",
            "dialogue": f"d{i % clusters}",
            "label": CLASSES[i % 3],
            "predicted": CLASSES[(i + (i in bad)) % 3],
        }
        for i in range(n)
    }


def side(*runs: dict[str, dict[str, Any]], ua: float = 0.8, half: float = 0.02, **more: Any) -> Side:
    given = {"staged": 240, "dropped": 0, "utterances": 240, "variant": "foal"} | more
    score = {"ua": ua, "ua_low": ua - half, "ua_high": ua + half}
    return Side(
        metrics={"data": {"utterances": given["utterances"]}, "variants": {given["variant"]: score}},
        runs={given["variant"]: runs} if runs else {},
        cluster="dialogue" if runs else None,
        staged=given["staged"],
        dropped=given["dropped"],
    )


def ask(challenger: Side, champion: Side | None, **more: Any) -> dict[str, Any]:
    return decide(challenger, champion, corpus="drawn", commit="c" * 40, params=PARAMS, **more)


def check(decision: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in decision["checks"] if each["check"] == name)


def test_the_first_run_becomes_champion_and_says_so() -> None:
    decision = ask(side(rows(20)), None)
    assert decision["promote"]
    assert decision["reasons"] == ["no champion yet: this run becomes the first"]
    assert decision["champion"] is None
    assert "no champion yet" in markdown(decision)


def test_the_same_predictions_pass_with_a_difference_of_exactly_zero() -> None:
    decision = ask(side(rows(20)), side(rows(20)))
    assert decision["promote"]
    loss = check(decision, "loss_ua")
    assert (loss["ua"], loss["ua_low"], loss["n"]) == (0.0, 0.0, 240)
    assert "paired over 240 utterances, 30 dialogues, 1 seed" in loss["says"]


def test_a_clear_loss_is_refused_and_a_clear_gain_is_not() -> None:
    worse, better = ask(side(rows(80)), side(rows(10))), ask(side(rows(10)), side(rows(80)))
    assert not worse["promote"]
    assert worse["reasons"][0].startswith("UA of foal: -29.2 points")
    assert "**refused**: UA of foal" in markdown(worse)
    assert better["promote"]


def test_it_is_the_lower_bound_that_counts_not_the_estimate() -> None:
    """Equal on average, but by clusters that differ much: a loss larger than allowed cannot be ruled out."""
    a, b = rows(0), rows(0)
    for key, row in a.items():
        hurt = a if int(row["dialogue"][1:]) % 2 else b
        hurt[key] = row | {"predicted": CLASSES[(CLASSES.index(row["label"]) + 1) % 3]}
    verdict = check(ask(side(a), side(b)), "loss_ua")
    assert verdict["ua"] == 0.0
    assert verdict["ua_low"] < -0.2
    assert not verdict["passed"]


def test_relabelled_and_missing_utterances_are_left_out_of_the_pairing() -> None:
    before = rows(20)
    now = {key: row for key, row in before.items() if key != "u5"}
    now["u7"] = now["u7"] | {"label": "angry", "predicted": "happy"}
    assert check(ask(side(now), side(before)), "loss_ua")["n"] == 238


def test_seeds_are_averaged() -> None:
    verdict = check(ask(side(rows(0), rows(60)), side(rows(0), rows(0))), "loss_ua")
    assert verdict["ua"] == pytest.approx(-0.125)


def test_without_a_shared_utterance_the_intervals_decide() -> None:
    others = {f"other-{key}": row for key, row in rows(20).items()}
    loss = check(ask(side(rows(20), ua=0.79), side(others, ua=0.80)), "loss_ua")
    assert "not paired: no utterance has the same label on both sides" in loss["says"]
    assert loss["ua_low"] == pytest.approx(-0.01 - 0.02 * 2**0.5, abs=1e-6)
    assert loss["passed"]
    wide = ask(side(rows(20), ua=0.79, half=0.04), side(others, ua=0.80, half=0.04))
    assert not check(wide, "loss_ua")["passed"]


@pytest.mark.parametrize("champion", [side(ua=0.1), replace(side(rows(80)), lost=("foal-s2",))])
def test_without_all_the_champions_predictions_nothing_is_promoted(champion: Side) -> None:
    decision = ask(side(rows(0), ua=0.99), champion)
    assert not decision["promote"]
    assert decision["reasons"][0].startswith(
        "UA of foal: cannot be compared, the champion's predictions are in neither"
    )


def test_predictions_of_a_variant_that_is_not_judged_may_be_lost() -> None:
    assert ask(side(rows(20)), replace(side(rows(20)), lost=("baseline-s1", "foal-s1-four")))["promote"]


def test_a_variant_that_only_one_side_has_is_not_judged_and_no_shared_one_is_refused() -> None:
    decision = ask(side(rows(20)), side(rows(20), variant="baseline"))
    assert not decision["promote"]
    assert "no variant was trained on both sides" in decision["reasons"][0]
    both = side(rows(20), variant="baseline")
    assert check(ask(both, both), "loss_ua")["variant"] == "baseline"


@pytest.mark.parametrize(("utterances", "passed"), [(240, True), (260, True), (238, True), (237, False), (1, False)])
def test_shrunken_data_is_refused(utterances: int, passed: bool) -> None:
    verdict = check(ask(side(rows(20), utterances=utterances), side(rows(20))), "shrink")
    assert verdict["passed"] is passed
    assert f"{utterances} utterances, the champion had 240" in verdict["says"]


@pytest.mark.parametrize(("dropped", "passed"), [(0, True), (4, True), (5, False), (200, False)])
def test_more_drops_are_refused(dropped: int, passed: bool) -> None:
    now = side(rows(20), dropped=dropped, staged=400 - dropped)
    assert check(ask(now, side(rows(20), staged=400)), "drops")["passed"] is passed


def test_unrecorded_drops_are_named() -> None:
    verdict = check(ask(side(rows(20)), side(rows(20), staged=None, dropped=None)), "drops")
    assert verdict["passed"]
    assert "not compared" in verdict["says"]
    assert not check(ask(side(rows(20), staged=None, dropped=None), side(rows(20))), "drops")["passed"]


def test_results_that_were_taken_back_are_refused() -> None:
    decision = ask(side(rows(20)), side(rows(20)), rolled_back="d" * 40)
    assert not decision["promote"]
    assert "rolled back by `foalnet rollback`" in decision["reasons"][0]


@settings(max_examples=25, deadline=None)
@given(worse=st.integers(0, 40), better=st.integers(0, 40), allowed=st.floats(0, 0.3))
def test_swapping_sides_turns_the_sign_and_a_larger_allowance_never_refuses_more(
    worse: int, better: int, allowed: float
) -> None:
    a, b = side(rows(worse)), side(rows(better))
    params = PARAMS.model_copy(update={"max_loss_ua": allowed})
    one = decide(a, b, corpus="c", commit=None, params=params)
    two = decide(b, a, corpus="c", commit=None, params=params)
    assert check(one, "loss_ua")["ua"] == pytest.approx(-check(two, "loss_ua")["ua"])
    wider = params.model_copy(update={"max_loss_ua": allowed + 0.1})
    assert decide(a, b, corpus="c", commit=None, params=wider)["promote"] >= one["promote"]
    assert json_bytes(one) == json_bytes(decide(a, b, corpus="c", commit=None, params=params))


def predictions(wrong: int) -> list[Prediction]:
    more: Any = {"fold": "a", "session": "a", "speaker": "a", "probabilities": ()}
    return [Prediction(**row, **more) for row in rows(wrong).values()]


def metrics_of(seed: int) -> dict[str, Any]:
    said = {"corpus": "drawn", "variant": "foal", "seed": seed, "protocol": HEADLINE}
    return said | {"cluster": "dialogue"}


def test_a_side_is_read_from_files_and_what_is_gone_is_taken_from_the_record(tmp_path: Path) -> None:
    paths = Paths("drawn", tmp_path)
    for seed in (1, 2):
        write_results(paths.run("foal", seed), predictions(20), metrics_of(seed))
    publish_sealed(paths.metrics, side().metrics)
    recorded = {"staged": 7, "dropped": 3}
    read = read_side(paths, recorded=recorded)
    assert len(read.runs["foal"]) == 2
    assert (read.staged, read.dropped, read.cluster) == (7, 3, "dialogue")
    publish_sealed(paths.counts, {"ledger": {"kept": 9, "dropped/wav_missing": 2}})
    publish_sealed(paths.staging, {"utterances": {"staged": 8, "dropped": 1}})
    read = read_side(paths, recorded=recorded)
    assert (read.staged, read.dropped) == (8, 3)
    assert read.as_json()["drop_share"] == pytest.approx(3 / 11, abs=1e-6)
    assert read_side(Paths("drawn", tmp_path / "no"), metrics=side().metrics).runs == {}


def test_a_champion_that_is_older_than_seals_is_judged_and_said_to_be(tmp_path: Path) -> None:
    paths = Paths("drawn", tmp_path)
    folder = paths.run("foal", 1)
    write_results(folder, predictions(20), metrics_of(1))
    (folder / "metrics.json").write_bytes(json_bytes(metrics_of(1)))
    paths.counts.write_bytes(json_bytes({"ledger": {"kept": 240}}))
    with pytest.raises(DataError, match="has no seal"):
        read_side(paths, metrics=side().metrics)
    read = read_side(paths, metrics=side().metrics, champion=True)
    assert len(read.runs["foal"][0]) == 240 and read.unsealed == ("reports/drawn/runs/foal-s1/metrics.json",)
    assert read.staged is None, "its staging is gone, so its counts say nothing either"
    decision = ask(side(rows(20)), read)
    says = check(decision, "seals")
    assert says["passed"] and "1 of the champion's files are older than seals" in says["says"]
    assert "older than seals" in markdown(decision)
    sealed = ask(side(rows(20)), side(rows(20)))
    assert [each for each in sealed["checks"] if each["check"] == "seals"] == []


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("staging", {"keys": ["a"], "folds": {}}),
        ("staging", {"utterances": {"staged": "many", "dropped": 1}}),
        ("counts", {"ledger": 3}),
        ("metrics", {"variants": {"foal": {}}, "data": {"utterances": 240}}),
    ],
)
def test_another_file_in_the_place_of_one_without_a_seal_is_refused(
    tmp_path: Path, name: str, facts: dict[str, Any]
) -> None:
    paths = Paths("drawn", tmp_path)
    publish_sealed(paths.counts, {"ledger": {"kept": 9}})
    publish_sealed(paths.staging, {"utterances": {"staged": 8, "dropped": 1}})
    publish_sealed(paths.metrics, side().metrics)
    getattr(paths, name).write_bytes(json_bytes(facts))
    with pytest.raises(DataError, match="what the gate reads from it is missing") as caught:
        read_side(paths, champion=True)
    assert caught.value.file == str(getattr(paths, name))


def test_a_run_without_one_of_its_two_files_or_its_account_is_not_passed_over(tmp_path: Path) -> None:
    paths = Paths("drawn", tmp_path)
    write_results(paths.run("foal", 1), predictions(20), metrics_of(1))
    publish_sealed(paths.counts, {"ledger": {"kept": 9}})
    with pytest.raises(DataError) as caught:
        read_side(paths, metrics=side().metrics)
    assert str(caught.value.file).endswith("staging.json")
    publish_sealed(paths.staging, {"utterances": {"staged": 8, "dropped": 1}})
    for name in ("metrics.json", "predictions.jsonl"):
        kept = (paths.run("foal", 1) / name).read_bytes()
        (paths.run("foal", 1) / name).unlink()
        with pytest.raises(DataError) as caught:
            read_side(paths, metrics=side().metrics)
        assert str(caught.value.file).endswith(name)
        (paths.run("foal", 1) / name).write_bytes(kept)


def test_the_gate_states_its_error_rates_and_judges_by_people_and_seeds() -> None:
    better, worse = rows(0), rows(30)
    check_of = check(ask(side(better, worse), side(better, better)), "loss_ua")
    assert "2 seeds" in check_of["says"] and "the gate refuses" in check_of["says"]
    assert 0 < check_of["refuses_equal"] <= 1
    # The one-sided bound: of challengers that are worse by the allowed loss, 1 - level pass.
    assert (check_of["level"], check_of["passes_worse"]) == (0.9, pytest.approx(0.1))
    strict = decide(
        side(better, worse),
        side(better, better),
        corpus="drawn",
        commit=None,
        params=PARAMS.model_copy(update={"level": 0.95}),
    )
    assert check(strict, "loss_ua")["passes_worse"] == pytest.approx(0.05)
    assert check(strict, "loss_ua")["ua_low"] < check_of["ua_low"]


def test_error_rates_by_hand() -> None:
    gap = Crossed(estimate=0, se=0.02, df=10, low=0, high=0, p=1, level=0.95, units=10, seeds=5)
    assert gap.at_least() == pytest.approx(-t.ppf(0.95, 10) * 0.02)
    # An equal challenger is refused where its estimate is 2.5 - 1.812 standard errors below zero.
    assert gap.refused(0.05, 0.0) == pytest.approx(t.cdf(-2.5 + t.ppf(0.95, 10), 10))
    assert gap.refused(0.05, -0.05) == pytest.approx(0.95)
