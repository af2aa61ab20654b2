"""T80: intervals contain the true value as often as stated, and the paired test's false alarms are as rare as stated.

Clusters differ from each other (a shift that all utterances of a cluster share), as dialogues do.
"""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.stats import Metric, difference, interval

SKILL = np.array([0.8, 0.5, 0.65, 0.72])
TRUTH = float(SKILL.mean())


def draw(generator: np.random.Generator, clusters: int, each: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Correctness, clusters and labels of one simulated corpus with TRUTH as its expected UA and WA."""
    shift = generator.uniform(-0.15, 0.15, clusters)
    label = generator.integers(0, 4, (clusters, each))
    right = generator.random((clusters, each)) < SKILL[label] + shift[:, None]
    names = np.repeat([f"d{i:03d}" for i in range(clusters)], each)
    return right.ravel().astype(float), names.tolist(), label.ravel().astype(str).tolist()


def coverage(clusters: int, each: int, metric: Metric, simulations: int, resamples: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    held = 0
    for number in range(simulations):
        right, names, labels = draw(generator, clusters, each)
        estimate = interval(right, names, labels, metric=metric, level=0.95, resamples=resamples, seed=number)
        held += estimate.low <= TRUTH <= estimate.high
    return held / simulations


# 400 simulations tell the coverage to +- 2.1 points (two standard errors), hence the wider band.
@pytest.mark.parametrize(("clusters", "each"), [(10, 40), (20, 20), (40, 12)])
def test_t80_intervals_hold_the_truth_quick(clusters: int, each: int) -> None:
    assert 0.91 <= coverage(clusters, each, "ua", 400, 300, seed=clusters) <= 0.985


@pytest.mark.long
@pytest.mark.parametrize("metric", ["ua", "wa"])
@pytest.mark.parametrize(("clusters", "each"), [(10, 40), (16, 60), (20, 20), (30, 14), (60, 20)])
def test_t80_intervals_hold_the_truth_93_to_97_percent(clusters: int, each: int, metric: Metric) -> None:
    assert 0.93 <= coverage(clusters, each, metric, 4000, 1000, seed=80 + clusters) <= 0.97


def false_alarms(clusters: int, simulations: int, permutations: int) -> float:
    generator = np.random.default_rng(81)
    alarms = 0
    for number in range(simulations):
        shift = generator.uniform(-0.15, 0.15, clusters)
        label = generator.integers(0, 4, (clusters, 12))
        level = SKILL[label] + shift[:, None]
        a, b = ((generator.random(label.shape) < level).ravel().astype(float) for _ in range(2))
        names = np.repeat(np.arange(clusters), 12).astype(str).tolist()
        estimate = difference(
            a,
            b,
            names,
            label.ravel().astype(str).tolist(),
            metric="ua",
            level=0.95,
            resamples=20,
            permutations=permutations,
            seed=number,
        )
        alarms += estimate.p <= 0.05
    return alarms / simulations


def test_t80_the_paired_test_has_few_false_alarms_quick() -> None:
    assert 0.02 <= false_alarms(30, 400, 300) <= 0.085


@pytest.mark.long
def test_t80_the_paired_test_has_5_percent_false_alarms() -> None:
    assert 0.04 <= false_alarms(30, 3000, 1000) <= 0.06
