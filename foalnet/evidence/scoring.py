"""Scores of your own predictions, with the report's arithmetic: UA, WA and macro-F1, intervals, a paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.core.errors import UsageError
from foalnet.evidence.stats import Difference, Interval, Metric, difference, interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """UA and WA of one set of predictions with their intervals, and macro-F1; all between 0 and 1."""

    ua: Interval
    wa: Interval
    macro_f1: float


def score(
    labels: Sequence[str],
    predictions: Sequence[str],
    clusters: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 7,
) -> Score:
    """Score class names that were predicted for utterances.

    `clusters` names for each utterance the recording or speaker that it is from: what is alike within one is drawn
    together. UsageError (exit 2) where the three differ in length or are empty.
    """
    from sklearn.metrics import f1_score

    right = _right(labels, predictions, clusters)
    found = {
        metric: interval(right, clusters, labels, metric=metric, level=level, resamples=resamples, seed=seed)
        for metric in ("ua", "wa")
    }
    f1 = f1_score(labels, predictions, labels=sorted(set(labels)), average="macro", zero_division=0)
    return Score(ua=found["ua"], wa=found["wa"], macro_f1=float(f1))


def compare(
    labels: Sequence[str],
    a: Sequence[str],
    b: Sequence[str],
    clusters: Sequence[str],
    *,
    metric: Metric = "ua",
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 7,
) -> Difference:
    """Return the score of predictions `a` minus that of predictions `b` on the same utterances, paired.

    UsageError (exit 2) where the four differ in length or are empty.
    """
    return difference(
        _right(labels, a, clusters),
        _right(labels, b, clusters),
        clusters,
        labels,
        metric=metric,
        level=level,
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )


def _right(labels: Sequence[str], predictions: Sequence[str], clusters: Sequence[str]) -> list[float]:
    if not len(labels) == len(predictions) == len(clusters) or len(labels) == 0:
        raise UsageError(
            f"{len(labels)} labels, {len(predictions)} predictions, {len(clusters)} clusters",
            action="give one of each for every utterance, in the same order",
        )
    return (np.asarray(labels, dtype=str) == np.asarray(predictions, dtype=str)).astype(float).tolist()
