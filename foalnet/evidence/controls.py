"""Controls: what answers score that know nothing of the clip, and whether the score ends with the right labels.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.evidence.metrics import ua

# Permutations with a UA that differs by rounding alone count as equal.
TIE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Permuted:
    """UA of predictions against labels that are permuted within groups: its mean and its maximum.

    `p`: (1 + the number of permutations at or above the observed UA) / (1 + all of them) (Phipson and Smyth 2010).
    """

    mean: float
    highest: float
    p: float


def permuted(
    label_N: np.ndarray, predicted_N: np.ndarray, groups: Sequence[str], *, permutations: int, seed: int
) -> Permuted:
    """Return what predictions score against labels permuted within each group, such as a speaker.

    A permutation keeps how often a speaker shows each class. A mean above chance therefore says that predictions follow
    who speaks; the rest of the observed UA comes from the single clips.

    >>> labels = np.array([0, 1, 0, 1])
    >>> permuted(labels, labels, ["a", "b", "a", "b"], permutations=9, seed=1)  # a speaker has one class: no change
    Permuted(mean=1.0, highest=1.0, p=1.0)
    """
    generator, observed = np.random.Generator(np.random.PCG64(seed)), ua(label_N, predicted_N)
    rows = [np.flatnonzero(np.asarray(groups) == name) for name in sorted(set(groups))]
    scores = []
    for _ in range(permutations):
        shuffled_N = label_N.copy()
        for row in rows:
            shuffled_N[row] = label_N[generator.permutation(row)]
        scores.append(ua(shuffled_N, predicted_N))
    above = sum(score >= observed - TIE for score in scores)
    return Permuted(mean=float(np.mean(scores)), highest=max(scores), p=(1 + above) / (1 + permutations))


def by_majority(label_N: np.ndarray, groups: Sequence[str]) -> float:
    """Return the UA of answering each group's most frequent class; of several the first.

    The classes are those of the labels that it is scored with, so that it bounds what one could score who knows the
    group alone (exactly so where all classes are equally frequent).

    >>> by_majority(np.array([0, 0, 1, 1, 1, 0]), ["a", "a", "a", "b", "b", "b"])  # a: class 0, b: class 1
    0.6666666666666666
    """
    answer_N = np.empty_like(label_N)
    for name in set(groups):
        inside_N = np.asarray(groups) == name
        answer_N[inside_N] = np.bincount(label_N[inside_N]).argmax()
    return ua(label_N, answer_N)


def by_prior(label_N: np.ndarray, share_NC: np.ndarray) -> float:
    """Return the expected UA of answers drawn with the probabilities `share_NC`, such as a training part's shares.

    >>> by_prior(np.array([0, 0, 1]), np.array([[0.5, 0.5], [0.7, 0.3], [0.2, 0.8]]))  # (0.6 + 0.8) / 2
    0.7
    """
    expected_N = share_NC[np.arange(len(label_N)), label_N]
    return float(np.mean([expected_N[label_N == number].mean() for number in np.unique(label_N)]))
