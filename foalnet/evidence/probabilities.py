"""Scores probabilities of classes: negative log-likelihood, Brier score, area under the ROC curve.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

import numpy as np

# The smallest probability that is scored: a class that was excluded and occurs costs 27.6 nats, not infinity.
LEAST = 1e-12


def nll(probability_NC: np.ndarray, label_N: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; guessing C classes evenly gives log C.

    >>> round(nll(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])), 4)  # (log 2 + log 4 / 3) / 2
    0.4904
    """
    return float(-np.log(np.clip(probability_NC[np.arange(len(label_N)), label_N], LEAST, 1.0)).mean())


def brier(probability_NC: np.ndarray, label_N: np.ndarray) -> float:
    """Return the Brier score of several classes (Brier 1950), 0 to 2: the mean squared distance to the label's corner.

    >>> brier(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0, 1]))  # (0.25 + 0.25 + 0) / 2
    0.25
    """
    right_NC = np.eye(probability_NC.shape[1])[label_N]
    return float(((probability_NC - right_NC) ** 2).sum(axis=1).mean())


def macro_auc(probability_NC: np.ndarray, label_N: np.ndarray) -> float | None:
    """Return the mean over classes of the area under the ROC curve of one class against the others; ties count half.

    A class without a labelled utterance, or without another one, is left out; None if that is every class.

    >>> macro_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), np.array([0, 0, 1]))  # one of two pairs in order
    0.5
    """
    from scipy.stats import rankdata

    areas = []
    for number in range(probability_NC.shape[1]):
        is_N = label_N == number
        inside, outside = int(is_N.sum()), int((~is_N).sum())
        if inside and outside:
            rank_N = rankdata(probability_NC[:, number])
            areas.append((float(rank_N[is_N].sum()) - inside * (inside + 1) / 2) / (inside * outside))
    return float(np.mean(areas)) if areas else None
