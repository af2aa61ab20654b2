"""Intervals and paired tests: exact cases, invariants, errors."""

from __future__ import annotations

import itertools
import sys
from subprocess import run

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foalnet.evidence.metrics import accuracy, weighted_f1
from foalnet.evidence.stats import (
    FEW_CLUSTERS,
    confusion_bounds,
    difference,
    interval,
    metric_of,
    shares,
    sign_flip,
    sums,
)

SETTING = {"level": 0.95, "resamples": 500, "seed": 7}


def corpus(clusters: int = 30, each: int = 10, seed: int = 0) -> tuple[list[float], list[str], list[str]]:
    generator = np.random.default_rng(seed)
    values = (generator.random(clusters * each) < 0.6).astype(float).tolist()
    names = [f"d{i:02d}" for i in range(clusters) for _ in range(each)]
    labels = [f"c{i}" for i in generator.integers(0, 4, clusters * each)]
    return values, names, labels


def test_estimates_are_ua_and_wa() -> None:
    values, clusters, labels = [1.0, 1.0, 0.0, 1.0], ["a", "a", "b", "b"], ["x", "x", "x", "y"]
    assert interval(values, clusters, labels, metric="wa", **SETTING).estimate == 0.75
    assert interval(values, clusters, labels, metric="ua", **SETTING).estimate == pytest.approx((2 / 3 + 1) / 2)


def test_from_20_clusters_on_a_bootstrap_below_a_t_interval_with_a_warning() -> None:
    many = interval(*corpus(FEW_CLUSTERS), metric="ua", **SETTING)
    few = interval(*corpus(FEW_CLUSTERS - 1), metric="ua", **SETTING)
    assert (many.method, many.warning) == ("bootstrap", None)
    assert few.method == "t"
    assert few.warning is not None
    assert "19 clusters" in few.warning


def test_the_t_interval_is_the_textbook_one_on_equal_clusters() -> None:
    means = [0.4, 0.5, 0.6, 0.7]
    values = [float(i < 10 * mean) for mean in means for i in range(10)]
    clusters = [name for name in "abcd" for _ in range(10)]
    result = interval(values, clusters, ["x"] * 40, metric="wa", **SETTING)
    # t(0.975, 3) = 3.18245, standard deviation of the means 0.12910, 3.18245 * 0.12910 / 2 = 0.20543
    assert result.estimate == pytest.approx(0.55)
    assert result.high == pytest.approx(0.55 + 0.20543, abs=1e-4)
    assert result.low == pytest.approx(0.55 - 0.20543, abs=1e-4)


def test_one_cluster_says_that_nothing_can_be_said() -> None:
    result = interval([1.0, 0.0], ["a", "a"], ["x", "y"], metric="ua", **SETTING)
    assert (result.low, result.high) == (0.0, 1.0)
    assert result.warning is not None


def test_clusters_that_agree_within_widen_the_interval() -> None:
    """The same utterances, once as clusters that are all right or all wrong, once mixed."""
    values = [1.0] * 200 + [0.0] * 200
    alike = [f"d{i // 10:02d}" for i in range(400)]
    mixed = [f"d{i % 40:02d}" for i in range(400)]
    wide, narrow = (interval(values, c, ["x"] * 400, metric="wa", **SETTING) for c in (alike, mixed))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


@given(st.permutations(range(60)), st.sampled_from([3, 25]))
@settings(max_examples=25, deadline=None)
def test_order_of_rows_and_names_of_clusters_change_nothing(order: list[int], clusters: int) -> None:
    generator = np.random.default_rng(1)
    values = (generator.integers(0, 4, 60) / 3).tolist()
    names = [f"d{i % clusters:02d}" for i in range(60)]
    labels = [f"c{i % 3}" for i in range(60)]
    one = interval(values, names, labels, metric="ua", **SETTING)
    two = interval(
        [values[i] for i in order], [names[i] for i in order], [labels[i] for i in order], metric="ua", **SETTING
    )
    assert one == two
    assert one.low <= one.estimate <= one.high


@given(st.integers(0, 10_000), st.sampled_from(["ua", "wa"]))
@settings(max_examples=30, deadline=None)
def test_shares_of_clusters_add_up_to_the_metric(seed: int, metric: str) -> None:
    table = sums(*corpus(7, 9, seed))
    whole = metric_of(table.value_KC.sum(axis=0), table.count_KC.sum(axis=0), metric)  # type: ignore[arg-type]
    assert shares(table, metric).sum() == pytest.approx(float(whole))  # type: ignore[arg-type]


def test_sign_flip_counts_every_pattern_of_few_clusters() -> None:
    terms = np.array([0.3, 0.1, -0.05, 0.2, 0.0])
    signs = list(itertools.product([1, -1], repeat=5))
    expected = np.mean([abs(np.dot(s, terms)) >= abs(terms.sum()) - 1e-12 for s in signs])
    p, exact = sign_flip(terms, permutations=100, seed=0)
    assert (p, exact) == (expected, True)


def test_sign_flip_by_chance_is_near_the_exact_value_and_never_zero() -> None:
    terms = np.random.default_rng(3).normal(0.05, 0.2, 14)
    exact, _ = sign_flip(terms, permutations=2**14, seed=0)
    drawn, is_exact = sign_flip(terms, permutations=8000, seed=0)
    assert not is_exact
    assert drawn == pytest.approx(exact, abs=0.02)
    assert sign_flip(np.full(60, 0.1), permutations=999, seed=0)[0] == pytest.approx(1 / 1000)


def test_a_difference_is_antisymmetric_and_may_be_negative() -> None:
    values, clusters, labels = corpus()
    worse = [v * (i % 3 > 0) for i, v in enumerate(values)]
    up = difference(values, worse, clusters, labels, metric="ua", permutations=200, **SETTING)
    down = difference(worse, values, clusters, labels, metric="ua", permutations=200, **SETTING)
    assert up.interval.low > 0
    assert up.p < 0.05
    assert down.interval.estimate == pytest.approx(-up.interval.estimate)
    assert down.interval.high == pytest.approx(-up.interval.low)
    assert down.p == up.p


@pytest.mark.parametrize(
    ("values", "clusters", "labels"),
    [([], [], []), ([1.0], ["a", "b"], ["x"]), ([float("nan")], ["a"], ["x"])],
)
def test_what_cannot_be_counted_is_refused(values: list[float], clusters: list[str], labels: list[str]) -> None:
    with pytest.raises(ValueError):
        interval(values, clusters, labels, metric="ua", **SETTING)


def test_a_pair_needs_the_same_utterances() -> None:
    with pytest.raises(ValueError, match="the same utterances"):
        difference([1.0], [1.0, 0.0], ["a"], ["x"], metric="ua", permutations=10, **SETTING)


def test_bounds_of_accuracy_as_a_metric_of_confusions_are_those_of_the_interval() -> None:
    values, clusters, labels = corpus(clusters=40)
    names = sorted(set(clusters))
    counts_SKCC = np.zeros((1, len(names), 2, 2), int)
    for value, cluster in zip(values, clusters, strict=True):
        counts_SKCC[0, names.index(cluster), 0, 0 if value else 1] += 1
    expected = interval(values, clusters, labels, metric="wa", **SETTING)
    low, high = confusion_bounds(counts_SKCC, accuracy, **SETTING) or (0.0, 0.0)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert confusion_bounds(counts_SKCC[:, : FEW_CLUSTERS - 1], accuracy, **SETTING) is None


def test_bounds_of_weighted_f1_hold_its_value_and_shrink_with_more_clusters() -> None:
    generator = np.random.default_rng(1)
    counts_SKCC = generator.multinomial(9, [0.4, 0.1, 0.2, 0.3], size=(2, 160)).reshape(2, 160, 2, 2)
    bounds = [confusion_bounds(counts_SKCC[:, :many], weighted_f1, **SETTING) for many in (40, 160)]
    widths = []
    for many, both in zip((40, 160), bounds, strict=True):
        assert both is not None
        value = np.mean([weighted_f1(one_KCC.sum(axis=0)) for one_KCC in counts_SKCC[:, :many]])
        assert both[0] < value < both[1]
        widths.append(both[1] - both[0])
    assert widths[1] < 0.7 * widths[0]


def test_stats_loads_no_torch() -> None:
    done = run(
        [sys.executable, "-c", "import sys, foalnet.evidence.stats; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
