"""Scores class predictions: the METRICS, recall, confusion, calibration. Tests compare them with scikit-learn's.

All come from the confusion matrix; importing scikit-learn would cost two seconds for each run of a corpus.
docs/add-a-metric.md says how to add one.

Shape letters: E epochs, N utterances, C classes. A class without a labelled utterance has no recall: it is left out of
every mean over classes, and named. Ties between classes go to the class that is listed first.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Decimals in outputs: finer than 10,000 utterances can resolve, coarser than differences between processors.
DECIMALS = 6


def rounded(value: float) -> float:
    """Round to the decimals that outputs keep; minus zero becomes zero.

    >>> rounded(1 / 3), rounded(-1e-9)
    (0.333333, 0.0)
    """
    return round(float(value), DECIMALS) + 0.0


def softmax(logits_NC: np.ndarray) -> np.ndarray:
    """Return probabilities [N, C] in float64; rows sum to 1 whatever the size of the logits.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    shifted_NC = logits_NC.astype(np.float64) - logits_NC.max(axis=-1, keepdims=True).astype(np.float64)
    exp_NC = np.exp(shifted_NC)
    return exp_NC / exp_NC.sum(axis=-1, keepdims=True)


def ua(label_N: np.ndarray, predicted_N: np.ndarray) -> float:
    """Return the unweighted accuracy, 0 to 1: the mean recall over the classes that occur in the labels.

    Takes class numbers or names. Equals scikit-learn's balanced_accuracy_score, without its warning about predicted
    classes that do not occur in the labels.

    >>> labels = np.array(["sad", "sad", "sad", "sad", "angry"])
    >>> ua(labels, np.array(["sad", "sad", "sad", "angry", "angry"]))  # (3 / 4 + 1 / 1) / 2; the accuracy is 0.8
    0.875
    """
    return mean_recall(counted(label_N, predicted_N))


def ccc(x_N: np.ndarray, y_N: np.ndarray) -> float:
    """Return the concordance correlation coefficient (Lin 1989), -1 to 1; 0 without any spread.

    >>> round(ccc(np.array([0.0, 2.0]), np.array([1.0, 3.0])), 6)  # 2 * 1 / (1 + 1 + 1)
    0.666667
    """
    from_x_N, from_y_N = x_N - x_N.mean(), y_N - y_N.mean()
    spread = float((from_x_N**2).mean() + (from_y_N**2).mean() + (x_N.mean() - y_N.mean()) ** 2)
    return 2 * float((from_x_N * from_y_N).mean()) / spread if spread else 0.0


def counted(label_N: np.ndarray, predicted_N: np.ndarray) -> np.ndarray:
    """Return the confusion matrix [C, C] of class numbers or names; C counts those that occur in either."""
    names, number_2N = np.unique(np.concatenate([label_N, predicted_N]), return_inverse=True)
    return confusion(number_2N[: len(label_N)], number_2N[len(label_N) :], len(names))


def confusion(label_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix [C, C] of class numbers: rows are true classes, columns predicted ones.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(label_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)


def mean_recall(counts_CC: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in the labels (UA)."""
    support_C = counts_CC.sum(axis=1)
    return float((counts_CC.diagonal()[support_C > 0] / support_C[support_C > 0]).mean())


def accuracy(counts_CC: np.ndarray) -> float:
    """Return the share of correct predictions (WA)."""
    return float(counts_CC.trace() / counts_CC.sum())


def f1(counts_CC: np.ndarray) -> np.ndarray:
    """Return the F1 of each class, [C]: 0 for a class that occurs in neither labels nor predictions."""
    return 2 * counts_CC.diagonal() / (counts_CC.sum(axis=1) + counts_CC.sum(axis=0)).clip(min=1)


def macro_f1(counts_CC: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur in the labels."""
    return float(f1(counts_CC)[counts_CC.sum(axis=1) > 0].mean())


def weighted_f1(counts_CC: np.ndarray) -> float:
    """Return the mean F1 over classes, weighted by their labels."""
    return float(np.average(f1(counts_CC), weights=counts_CC.sum(axis=1)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A score from 0 to 1: its key in JSON, its name and meaning for readers, and its value for a confusion matrix.

    `shown` puts it into the tables of results (page, Markdown, terminal, Prefect) and into headline.json; the others
    are in metrics.json and on the model card.
    """

    key: str
    name: str
    meaning: str
    value: Callable[[np.ndarray], float]
    shown: bool = True


METRICS = (
    Metric(
        key="ua",
        name="UA",
        meaning="UA (unweighted accuracy) is the mean of the recalls of the classes: each class counts the same.",
        value=mean_recall,
    ),
    Metric(
        key="wa",
        name="WA",
        meaning="WA (weighted accuracy) is the share of correct utterances.",
        value=accuracy,
    ),
    Metric(
        key="macro_f1",
        name="macro-F1",
        meaning="Macro-F1 is the mean over classes of 2 × precision × recall / (precision + recall).",
        value=macro_f1,
    ),
    Metric(
        key="weighted_f1",
        name="weighted F1",
        meaning="Weighted F1 is the mean F1 over classes, weighted by their utterances.",
        value=weighted_f1,
        shown=False,
    ),
)
SHOWN = tuple(metric for metric in METRICS if metric.shown)


def shown_in(row: Container[str]) -> list[Metric]:
    """Return the metrics that tables show of a row of metrics.json: those for all, and others with an interval."""
    return [metric for metric in METRICS if metric.key in row and (metric.shown or f"{metric.key}_low" in row)]


def best_epoch(dev_logits_ENC: np.ndarray, label_N: np.ndarray) -> tuple[int, list[float]]:
    """Return the first epoch (0-based) of the best dev UA, and the dev UA of every epoch.

    UAs are compared at `DECIMALS` decimals: rounding errors cannot break a tie.

    >>> all_first, right = [[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> best_epoch(np.array([all_first, right, right]), np.array([0, 1]))
    (1, [0.5, 1.0, 1.0])
    """
    scores_E = [rounded(ua(label_N, logits_NC.argmax(axis=1))) for logits_NC in dev_logits_ENC]
    return int(np.argmax(scores_E)), scores_E


def calibration(probability_NC: np.ndarray, label_N: np.ndarray, predicted_N: np.ndarray, bins: int) -> dict[str, Any]:
    """Return the expected calibration error and its bins of equal width over the confidence (Guo et al. 2017).

    Confidence is the probability of the predicted class. A bin holds low < confidence <= high; `accuracy` and
    `confidence` of an empty bin are None. ECE = sum over bins of n / N * |accuracy - confidence|.

    >>> sure = np.array([[0.75, 0.25], [0.75, 0.25]])
    >>> calibration(sure, np.array([0, 1]), np.array([0, 0]), bins=2)["ece"]  # 75 % sure, 50 % right
    0.25
    """
    confidence_N = probability_NC[np.arange(len(label_N)), predicted_N]
    correct_N = predicted_N == label_N
    bin_N = bins_of(confidence_N, bins)
    rows: list[dict[str, Any]] = []
    error = 0.0
    for index in range(bins):
        inside_N = bin_N == index
        count = int(inside_N.sum())
        row: dict[str, Any] = {"low": rounded(index / bins), "high": rounded((index + 1) / bins), "n": count}
        row |= {"accuracy": None, "confidence": None}
        if count:
            accuracy, confidence = float(correct_N[inside_N].mean()), float(confidence_N[inside_N].mean())
            error += count / len(label_N) * abs(accuracy - confidence)
            row |= {"accuracy": rounded(accuracy), "confidence": rounded(confidence)}
        rows.append(row)
    return {"ece": rounded(error), "bins": rows}


def bins_of(confidence_N: np.ndarray, bins: int) -> np.ndarray:
    """Return the number of each confidence's bin, of bins of equal width that hold low < confidence <= high.

    >>> bins_of(np.array([0.05, 0.3, 0.31]), 10).tolist()
    [0, 2, 3]
    """
    # The rounding keeps 0.3 in the bin that ends at 0.3.
    number_N: np.ndarray = np.clip(np.ceil(np.round(confidence_N * bins, DECIMALS)).astype(int) - 1, 0, bins - 1)
    return number_N


def scores(
    label_N: np.ndarray,
    predicted_N: np.ndarray,
    probability_NC: np.ndarray,
    classes: Sequence[str],
    *,
    calibration_bins: int,
) -> dict[str, Any]:
    """Return every score of one set of predictions as a JSON-ready mapping, rounded to `DECIMALS`.

    Keys: that of each of METRICS, and `n`; `recall` and `support` by class (a class without a labelled utterance has
    recall None and is named in `absent`); `confusion`, rows are true classes, columns predicted ones, in class order;
    `calibration` as `calibration()` returns it. ValueError without an utterance.

    >>> even = np.full((3, 2), 0.5)
    >>> row = scores(np.array([0, 0, 1]), np.array([0, 1, 1]), even, ["happy", "sad"], calibration_bins=10)
    >>> row["ua"], row["wa"], row["recall"]
    (0.75, 0.666667, {'happy': 0.5, 'sad': 1.0})
    """
    if len(label_N) == 0:
        raise ValueError("no utterance to score")
    counts_CC = confusion(label_N, predicted_N, len(classes))
    support_C = counts_CC.sum(axis=1)
    recall_C = counts_CC.diagonal() / support_C.clip(min=1)
    return {
        "n": len(label_N),
        **{metric.key: rounded(metric.value(counts_CC)) for metric in METRICS},
        "recall": {
            name: rounded(recall) if count else None
            for name, recall, count in zip(classes, recall_C, support_C, strict=True)
        },
        "support": {name: int(count) for name, count in zip(classes, support_C, strict=True)},
        "absent": [name for name, count in zip(classes, support_C, strict=True) if not count],
        "confusion": counts_CC.tolist(),
        "calibration": calibration(probability_NC, label_N, predicted_N, calibration_bins),
    }


def mean_sd(values: Sequence[float]) -> dict[str, float]:
    """Return mean and sample standard deviation (n - 1; 0 for a single value), rounded.

    >>> mean_sd([1.0, 2.0, 3.0])
    {'mean': 2.0, 'sd': 1.0}
    """
    array = np.asarray(values, dtype=np.float64)
    return {"mean": rounded(array.mean()), "sd": rounded(array.std(ddof=1) if len(array) > 1 else 0.0)}
