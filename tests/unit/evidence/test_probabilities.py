"""Scores of probabilities by hand."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.metrics import calibration, softmax
from foalnet.evidence.probabilities import brier, calibrated_ece, macro_auc, nll, temperature


def test_likelihood_and_brier_by_hand() -> None:
    probability_NC, label_N = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6]]), np.array([1, 2])
    assert nll(probability_NC, label_N) == pytest.approx(-(np.log(0.5) + np.log(0.6)) / 2)
    assert brier(probability_NC, label_N) == pytest.approx((0.25 + 0.25 + 0.04 + 0.04 + 0.16) / 2)
    assert nll(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(12 * np.log(10))


def test_area_is_the_share_of_pairs_in_order() -> None:
    score_N, label_N = np.array([0.9, 0.8, 0.8, 0.1]), np.array([0, 1, 0, 1])
    # Of four pairs three are in order, counting the tie as half: (1 + 1 + 0.5 + 1) / 4.
    assert macro_auc(np.stack([score_N, 1 - score_N], axis=1), label_N) == pytest.approx(0.875)
    assert macro_auc(np.full((3, 2), 0.5), np.zeros(3, int)) is None


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
