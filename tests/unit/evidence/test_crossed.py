"""Intervals over people and seeds: hand-worked values, and their size where both systems are equal."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, t

from foalnet.evidence.crossed import Crossed, as_interval, by_unit, contrasts, crossed, holm, over_people, unit_of
from foalnet.evidence.stats import interval


def test_one_seed_is_the_t_interval_over_the_units() -> None:
    one = crossed(np.array([[0.1, 0.2, 0.6]]), 0.95)
    se = np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)
    assert one.df == 2.0 and one.se == pytest.approx(se)
    assert one.high == pytest.approx(0.3 + t.ppf(0.975, 2) * se)


def test_two_factors_by_hand() -> None:
    # Units 0.2 and 0.6, seeds 0.3 and 0.5, no rest: mean squares 0.16, 0.04 and 0.
    both = crossed(np.array([[0.1, 0.5], [0.3, 0.7]]), 0.95)
    assert both.estimate == pytest.approx(0.4) and both.se == pytest.approx(np.sqrt(0.2 / 4))
    assert both.df == pytest.approx(0.2**2 / (0.16**2 + 0.04**2))


def test_the_variance_is_not_below_that_of_one_factor() -> None:
    # The rest is larger than the seeds' mean square: units alone, with their degrees of freedom.
    one = crossed(np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0]]), 0.95)
    units = np.array([0.5, 0.5, 5.0])
    assert one.se == pytest.approx(units.std(ddof=1) / np.sqrt(3)) and one.df == 2.0


def test_the_mean_over_units_is_the_metric_of_each_seed() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2, size=(3, 90)).astype(float)
    units, labels = [f"u{i % 7}" for i in range(90)], ["ab"[int(x)] for x in generator.integers(0, 2, 90)]
    table = by_unit([list(row) for row in values], units, labels, "ua")
    for row, of_seed in zip(table, values, strict=True):
        same = interval(list(of_seed), units, labels, metric="ua", level=0.95, resamples=50, seed=1)
        assert row.mean() == pytest.approx(same.estimate)
    one = crossed(table[:1], 0.95)
    same = interval(list(values[0]), units, labels, metric="ua", level=0.95, resamples=50, seed=1)
    assert (one.low, one.high) == pytest.approx((same.low, same.high))


def share_of_rejections(seeds: int, units: int, sd: tuple[float, float, float], times: int = 1500) -> float:
    """How often a mean of 0 has p <= 0.05, with spreads over units, over seeds and of the rest."""
    generator = np.random.default_rng(1)
    tables = (
        sd[0] * generator.standard_normal((1, units))
        + sd[1] * generator.standard_normal((seeds, 1))
        + sd[2] * generator.standard_normal((seeds, units))
        for _ in range(times)
    )
    return float(np.mean([crossed(table, 0.95).p <= 0.05 for table in tables]))


@pytest.mark.parametrize("sd", [(0.02, 0.0, 0.03), (0.0, 0.02, 0.03), (0.02, 0.02, 0.03), (0.05, 0.01, 0.02)])
@pytest.mark.parametrize(("seeds", "units"), [(5, 5), (5, 10), (10, 24)])
def test_of_equal_systems_at_most_one_in_twelve_differs(seeds: int, units: int, sd: tuple[float, float, float]) -> None:
    assert 0.01 <= share_of_rejections(seeds, units, sd) <= 0.08


def test_with_two_seeds_it_is_at_most_one_in_eight() -> None:
    for sd in ((0.02, 0.0, 0.03), (0.0, 0.02, 0.03), (0.02, 0.02, 0.03)):
        assert share_of_rejections(2, 24, sd) <= 0.13


def test_one_seed_alone_finds_differences_that_another_seed_would_not() -> None:
    assert share_of_rejections(1, 5, (0.0, 0.02, 0.03)) > 0.15


def made(estimate: float, se: float, df: float) -> Crossed:
    return Crossed(
        estimate=estimate, se=se, df=df, low=0, high=0, p=1, level=0.95, units=5, seeds=5
    )  # fmt: skip


def test_equality_and_what_can_be_detected_by_hand() -> None:
    one = made(0.005, 0.005, 10.0)
    # The nearer margin is 3 standard errors away.
    assert one.within(0.02) == pytest.approx(t.sf(3.0, 10))
    assert one.detectable() == pytest.approx((t.ppf(0.975, 10) + t.ppf(0.8, 10)) * 0.005)
    assert one.detectable(5) == pytest.approx((t.ppf(0.995, 10) + t.ppf(0.8, 10)) * 0.005)


def test_the_effect_size_is_in_standard_deviations_over_the_units() -> None:
    # Means of the units 0.2 and 0.6: their mean 0.4, their standard deviation 0.2 * sqrt(2).
    both = crossed(np.array([[0.1, 0.5], [0.3, 0.7]]), 0.95)
    assert both.d_z == pytest.approx(2**0.5)
    assert crossed(np.full((2, 3), 0.1), 0.95).d_z is None


def test_more_seeds_are_expected_to_remove_the_seeds_part_of_the_variance() -> None:
    # Mean squares of units, seeds and rest 0.16, 0.04 and 0: variances of a unit 0.08, of a seed 0.02.
    both = crossed(np.array([[0.1, 0.5], [0.3, 0.7]]), 0.95)
    same, more = both.with_seeds(2), both.with_seeds(8)
    assert same is not None and more is not None
    assert (same.se, same.df) == (pytest.approx(both.se), pytest.approx(both.df))
    assert more.se == pytest.approx(np.sqrt(0.08 / 2 + 0.02 / 8))
    assert more.units == both.units and more.seeds == 8
    assert crossed(np.array([[0.1, 0.2, 0.6]]), 0.95).with_seeds(5) is None


def test_no_spread_is_no_division_by_zero() -> None:
    one = crossed(np.zeros((3, 4)), 0.95)
    assert one.p == 1.0 and one.within(0.02) < 1e-6
    with pytest.raises(ValueError, match="one unit"):
        crossed(np.zeros((3, 1)), 0.95)


def test_holm_never_lowers_a_p_value_and_keeps_their_order() -> None:
    given = {"a": 0.2, "b": 0.01, "c": 0.9, "d": 0.04}
    adjusted = holm(given)
    assert adjusted == pytest.approx({"b": 0.04, "d": 0.12, "a": 0.4, "c": 0.9})


def made_correct(
    rows: list[tuple[str, str, str, int]], seeds: int, sd: tuple[float, float, float, float], times: int
) -> tuple[float, float]:
    """Return how often the interval holds the true UA, and its mean half width.

    A probit model: `sd` of session, speaker, dialogue, and speaker by class; training adds noise by seed and by session
    of a seed (0.05 and 0.035, about 1.5 and 1 points).
    """
    generator = np.random.default_rng(1)
    names = [np.unique([row[i] for row in rows], return_inverse=True) for i in range(3)]
    (session_N, person_N, dialogue_N), counts = [n[1] for n in names], [len(n[0]) for n in names]
    class_N = np.array([row[3] for row in rows])
    mean_C, of_seed, of_fold = norm.ppf([0.78, 0.68, 0.78, 0.80]), 0.05, 0.035
    truth = norm.cdf(mean_C / np.sqrt(1 + sum(x * x for x in sd) + of_seed**2 + of_fold**2)).mean()
    held, half = 0, 0.0
    for _ in range(times):
        drawn = [generator.normal(0, one, count) for one, count in zip(sd, counts, strict=False)]
        by_class = generator.normal(0, sd[3], (counts[1], 4))
        skill_N = mean_C[class_N] + drawn[0][session_N] + drawn[1][person_N] + drawn[2][dialogue_N]
        skill_N = skill_N + by_class[person_N, class_N]
        common_N, values = generator.normal(size=len(rows)), []
        for _seed in range(seeds):
            noise_N = generator.normal(0, of_fold, counts[0])[session_N] + generator.normal(0, of_seed)
            luck_N = np.sqrt(0.7) * common_N + np.sqrt(0.3) * generator.normal(size=len(rows))
            values.append((luck_N < skill_N + noise_N).astype(float).tolist())
        labels = [str(x) for x in class_N]
        one = over_people(values, [str(x) for x in session_N], labels, metric="ua", level=0.95)
        held, half = held + (one.low <= truth <= one.high), half + (one.high - one.low) / 2
    return held / times, half / times


# Session, speaker, dialogue, speaker by class: none, EVIDENCE's medium one, and that of published folds.
EFFECTS = [(0.0, 0.0, 0.0, 0.0), (0.0, 0.1, 0.3, 0.0), (0.12, 0.1, 0.3, 0.2)]


@pytest.mark.long
@pytest.mark.parametrize("sd", EFFECTS)
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_for_other_people_holds_the_truth(seeds: int, sd: tuple[float, float, float, float]) -> None:
    """The drawn corpus' structure: 5 sessions, 10 speakers, 30 dialogues, 420 utterances."""
    rows = [
        (f"s{s}", f"s{s}{'FM'[i % 2]}", f"s{s}d{d}", (i + d) % 4) for s in range(5) for d in range(6) for i in range(14)
    ]
    held, _ = made_correct(rows, seeds, sd, 400)
    assert 0.93 <= held <= 0.985


@pytest.mark.long
@pytest.mark.parametrize("sd", EFFECTS[1:])
def test_it_does_on_iemocaps_utterances(shared_data: Path, sd: tuple[float, float, float, float]) -> None:
    of_raw = {"hap": 0, "exc": 0, "neu": 1, "sad": 2, "ang": 3}
    with (shared_data / "iemocap_utterances.tsv").open() as file:
        read = [(row["utterance"], row["label"]) for row in csv.DictReader(file, delimiter="\t")]
    rows = [
        (name[:5], name[:5] + name.rpartition("_")[2][0], name.rpartition("_")[0], of_raw[label])
        for name, label in read
        if label in of_raw
    ]
    held, half = made_correct(rows, 3, sd, 150)
    assert 0.92 <= held <= 0.985 and half > 0.03, "the interval over dialogues has a half width of 0.02, and holds 59 %"


def test_the_unit_is_the_session_where_three_are_tested_in_turn() -> None:
    assert unit_of("dialogue", folds=5, sessions=["1", "2", "3", "1"]) == "session"
    assert unit_of("dialogue", folds=5, sessions=["1", "2"]) == "dialogue"
    assert unit_of("dialogue", folds=1, sessions=["1", "2", "3"]) == "dialogue"
    assert unit_of("speaker", folds=5, sessions=["1", "2", "3"]) == "speaker"


def test_one_unit_says_nothing_of_others() -> None:
    one = as_interval(over_people([[1, 0]], ["a", "a"], ["x", "x"], metric="ua", level=0.95))
    assert (one.estimate, one.low, one.high) == (0.5, 0.0, 1.0)


def test_contrasts_are_adjusted_for_all_of_a_page_by_hand() -> None:
    gaps = {name: made(estimate, 0.01, 10.0) for name, estimate in (("a", 0.05), ("b", 0.0), ("c", -0.05))}
    gaps = {name: replace(gap, p=float(2 * t.sf(abs(gap.estimate) / gap.se, gap.df))) for name, gap in gaps.items()}
    result = contrasts(gaps, 0.02)
    assert result["a"].p == pytest.approx(3 * 2 * t.sf(5.0, 10)) and result["b"].p == 1.0
    assert [one.verdict for one in result.values()] == ["better", "not decided", "worse"]
    # Zero is two standard errors from the margin: p 0.037, of three tests 0.11.
    assert result["b"].equal_p == pytest.approx(3 * t.sf(2.0, 10))
    assert contrasts({"b": gaps["b"]}, 0.02)["b"].verdict == "equal"
    assert result["a"].detectable == pytest.approx(gaps["a"].detectable(3))


def test_without_spread_nothing_is_decided_but_no_difference_at_all_is_equal() -> None:
    same = contrasts({"a": crossed(np.zeros((3, 4)), 0.95), "b": crossed(np.full((3, 4), 0.1), 0.95)}, 0.02)
    assert [one.verdict for one in same.values()] == ["equal", "not decided"]
