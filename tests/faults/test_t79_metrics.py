"""T79: the metrics against a second implementation, and the cases on which the official one divides by zero."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from foalnet.evidence.metrics import scores


def by_numpy(truth: np.ndarray, given: np.ndarray, classes: int) -> dict[str, float]:
    """UA, WA and F1 from a counted matrix; classes that the truth lacks are left out of the means."""
    matrix = np.zeros((classes, classes))
    for t, g in zip(truth, given, strict=True):
        matrix[t, g] += 1
    support, right, said = matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0)
    there = support > 0
    f1 = 2 * right[there] / (support[there] + said[there])
    return {
        "ua": float((right[there] / support[there]).mean()),
        "wa": float(right.sum() / matrix.sum()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float((f1 * support[there]).sum() / support.sum()),
    }


def by_library(truth: np.ndarray, given: np.ndarray, classes: int) -> dict[str, object]:
    names = [f"class{i}" for i in range(classes)]
    probabilities = np.full((len(truth), classes), 1 / classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a division by zero or an undefined metric would only warn
        return scores(truth, given, probabilities, names, calibration_bins=10)


def test_t79_a_thousand_random_matrices_agree_with_numpy() -> None:
    generator = np.random.default_rng(79)
    absent = 0
    for _ in range(1000):
        classes = int(generator.integers(2, 9))
        count = int(generator.integers(1, 60))
        truth = generator.choice(classes, count, p=generator.dirichlet(np.full(classes, 0.5)))
        given = np.where(generator.random(count) < generator.random(), truth, generator.integers(0, classes, count))
        actual, expected = by_library(truth, given, classes), by_numpy(truth, given, classes)
        assert {name: actual[name] for name in expected} == pytest.approx(expected, abs=1e-6)
        assert np.sum(actual["confusion"]) == count  # type: ignore[arg-type]
        absent += bool(actual["absent"])
    assert absent > 100, "the draw must hold the hard case"


@pytest.mark.parametrize("only", [0, 3])
def test_t79_one_class_predicted_throughout(only: int) -> None:
    truth = np.array([0, 1, 2, 3] * 5)
    actual = by_library(truth, np.full(20, only), 4)
    assert (actual["ua"], actual["wa"], actual["macro_f1"]) == (0.25, 0.25, pytest.approx(0.1, abs=1e-6))


def test_t79_one_class_in_the_truth_and_never_predicted() -> None:
    actual = by_library(np.zeros(4, int), np.ones(4, int), 3)
    assert (actual["ua"], actual["wa"], actual["macro_f1"]) == (0.0, 0.0, 0.0)
    assert actual["absent"] == ["class1", "class2"]
