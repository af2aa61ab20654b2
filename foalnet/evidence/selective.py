"""Selective prediction: how often a model is right if it answers only where it is surest (El-Yaniv and Wiener 2010).

Shape letters: N utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selective:
    """Accuracy of the surest answers at each of COVERAGES, and the area under the curve of risk over coverage.

    `aurc`: the mean, over all numbers of kept answers, of the share of wrong ones among them. `best`: that of an order
    that puts every wrong answer last; `random`: that expected of a random order.
    """

    accuracy: tuple[float, ...]
    aurc: float
    best: float
    random: float


def selective(confidence_N: np.ndarray, right_N: np.ndarray, coverages: Sequence[float] = COVERAGES) -> Selective:
    """Return the selective accuracy of answers; ValueError without one.

    `confidence_N`: the probability of the predicted class. `right_N`: whether it is the label. Among answers of equal
    confidence the order is random, and the result is what is expected of it. A coverage keeps at least one answer.

    >>> one = selective(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), [1.0, 0.5])
    >>> one.accuracy, round(one.aurc, 4), one.random  # risks 0, 0, 1/3, 1/4; an error put last: 0, 0, 0, 1/4
    ((0.75, 1.0), 0.1458, 0.25)
    >>> one.best
    0.0625
    """
    count = len(right_N)
    if not count:
        raise ValueError("no answer to order")
    expected_N = _surest_first(confidence_N, right_N)
    kept_N = np.arange(1, count + 1)
    accuracy_N = np.cumsum(expected_N) / kept_N
    wrong = count - int(right_N.sum())
    best_N = np.maximum(0, kept_N - (count - wrong)) / kept_N
    # The rounding keeps 0.7 of 10 answers at 7.
    places = [max(1, int(np.ceil(round(coverage * count, 6)))) - 1 for coverage in coverages]
    return Selective(
        accuracy=tuple(float(accuracy_N[place]) for place in places),
        aurc=float((1 - accuracy_N).mean()),
        best=float(best_N.mean()),
        random=wrong / count,
    )


def _surest_first(confidence_N: np.ndarray, right_N: np.ndarray) -> np.ndarray:
    """Return the correctness in falling order of confidence; of equal confidences each has the mean of all of them."""
    _, group_N, size_G = np.unique(-confidence_N, return_inverse=True, return_counts=True)
    mean_G = np.bincount(group_N, weights=right_N.astype(np.float64)) / size_G
    return np.repeat(mean_G, size_G)
