"""Scores of probabilities equal those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.metrics import calibration, softmax
from foalnet.evidence.probabilities import brier, calibrated_ece, macro_auc, nll, temperature


def test_they_equal_those_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    generator = np.random.default_rng(3)
    probability_NC = np.round(generator.dirichlet([1, 1, 1, 1], size=200), 2)
    probability_NC /= probability_NC.sum(axis=1, keepdims=True)
    label_N = generator.integers(0, 4, size=200)
    assert nll(probability_NC.clip(1e-12), label_N) == pytest.approx(
        log_loss(label_N, probability_NC.clip(1e-12)), 1e-6
    )
    assert brier(probability_NC, label_N) == pytest.approx(
        brier_score_loss(label_N, probability_NC, scale_by_half=False)
    )
    assert macro_auc(probability_NC, label_N) == pytest.approx(
        roc_auc_score(label_N, probability_NC, multi_class="ovr")
    )


def test_a_class_that_cannot_be_ranked_is_left_out() -> None:
    even_NC = np.full((3, 2), 0.5)
    assert macro_auc(even_NC, np.array([0, 0, 0])) is None
    assert macro_auc(even_NC, np.array([0, 1, 1])) == 0.5


def test_an_excluded_class_that_occurs_costs_much_but_not_infinity() -> None:
    assert nll(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(27.631, abs=1e-3)
    assert brier(np.array([[1.0, 0.0]]), np.array([1])) == 2.0


def test_the_temperature_restores_what_was_scaled() -> None:
    generator = np.random.default_rng(0)
    true_NC = generator.normal(size=(4000, 4))
    drawn = [generator.choice(4, p=row) for row in softmax(true_NC)]
    assert temperature(3 * true_NC, np.array(drawn)) == pytest.approx(3.0, rel=0.1)
    assert softmax(true_NC / 2).argmax(axis=1).tolist() == true_NC.argmax(axis=1).tolist()


def test_a_calibrated_model_shows_what_is_expected_of_it() -> None:
    generator, bins = np.random.default_rng(1), 10
    probability_NC = softmax(1.5 * generator.normal(size=(420, 4)))
    predicted_N = probability_NC.argmax(axis=1)
    mean, high = calibrated_ece(probability_NC.max(axis=1), bins)
    eces = []
    for _ in range(200):
        label_N = np.array([generator.choice(4, p=row) for row in probability_NC])
        eces.append(calibration(probability_NC, label_N, predicted_N, bins)["ece"])
    assert np.mean(eces) == pytest.approx(mean, rel=0.1)
    assert 0.01 <= np.mean(np.array(eces) > high) <= 0.1
