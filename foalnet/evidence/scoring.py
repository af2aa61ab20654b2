"""Scores a caller's own predictions as the report does: UA, WA and macro-F1, intervals, a paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.core.errors import UsageError
from foalnet.evidence.metrics import counted, macro_f1
from foalnet.evidence.stats import Difference, Interval, Metric, difference, interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """UA and WA of one set of predictions with their intervals, and macro-F1; all from 0 to 1."""

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
    """Return the scores of predicted class names.

    `clusters` names each utterance's recording or speaker: utterances of one cluster are alike, so the bootstrap draws
    whole clusters. UsageError (exit 2) where the three differ in length or are empty.

    >>> dialogues = ["d1", "d1", "d2", "d2"]
    >>> mine = score(["sad", "sad", "happy", "happy"], ["sad", "sad", "happy", "sad"], dialogues)
    >>> mine.ua.estimate, round(mine.macro_f1, 4)  # F1: sad 4 / 5, happy 2 / 3
    (0.75, 0.7333)
    """
    right = _right(labels, predictions, clusters)
    intervals = {
        metric: interval(right, clusters, labels, metric=metric, level=level, resamples=resamples, seed=seed)
        for metric in ("ua", "wa")
    }
    counts_CC = counted(np.asarray(labels, dtype=str), np.asarray(predictions, dtype=str))
    return Score(ua=intervals["ua"], wa=intervals["wa"], macro_f1=macro_f1(counts_CC))


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
    """Return the score of predictions `a` minus that of predictions `b`, paired over the same utterances.

    UsageError (exit 2) where the four differ in length or are empty.

    >>> labels, dialogues = ["sad", "happy", "sad"], ["d1", "d2", "d3"]
    >>> gap = compare(labels, labels, ["happy", "sad", "happy"], dialogues)
    >>> gap.interval.estimate, gap.p, gap.decided
    (1.0, 0.25, False)
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
