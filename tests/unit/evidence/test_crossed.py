"""Intervals over people and seeds: hand-worked values, and their size where both systems are equal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from foalnet.evidence.crossed import Crossed, by_unit, crossed, holm
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
