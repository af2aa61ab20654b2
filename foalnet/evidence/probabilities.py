"""Scores probabilities of classes: likelihood, Brier score, area under the ROC curve, what a calibrated model shows.

Shape letters: N utterances, C classes, R draws.
"""

from __future__ import annotations

import numpy as np

from foalnet.evidence.metrics import bins_of, softmax

# The smallest probability that is scored: a class that was excluded and occurs costs 27.6 nats, not infinity.
LEAST = 1e-12
# Temperatures from 1 / 20 to 20 are tried.
MOST_LOG_TEMPERATURE = 3.0
DRAWS, DRAWN_AT_ONCE = 1000, 1_000_000


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


def temperature(logits_NC: np.ndarray, label_N: np.ndarray) -> float:
    """Return the temperature by which to divide logits for the highest likelihood of the labels (Guo et al. 2017).

    >>> logits_NC = np.log(np.array([[0.9, 0.1]] * 4))  # 90 % sure, 75 % right: log 9 / T is log 3
    >>> round(temperature(logits_NC, np.array([0, 0, 0, 1])), 3)
    2.0
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return nll(softmax(logits_NC / np.exp(log_temperature)), label_N)

    bounds = (-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def calibrated_ece(confidence_N: np.ndarray, bins: int, *, seed: int = 0) -> tuple[float, float]:
    """Return the ECE that a perfectly calibrated model with these confidences shows by chance: mean and 95 % quantile.

    In each of 1,000 draws every prediction is right with the probability of its confidence.

    >>> calibrated_ece(np.ones(10), 10)  # it is never wrong
    (0.0, 0.0)
    """
    bin_N = bins_of(confidence_N, bins)
    ones_NB = np.eye(bins)[bin_N]
    generator, eces = np.random.default_rng(seed), []
    step = max(1, DRAWN_AT_ONCE // len(confidence_N))
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        off_RN = (generator.random((size, len(confidence_N))) < confidence_N) - confidence_N
        eces.append(np.abs(off_RN @ ones_NB).sum(axis=1) / len(confidence_N))
    ece_R = np.concatenate(eces)
    return float(ece_R.mean()), float(np.quantile(ece_R, 0.95))
