"""Scores computed by hand, to detect a change in a library."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.metrics import best_epoch, calibration, mean_sd, scores, softmax, ua

CLASSES = ["happy", "neutral", "sad", "angry"]


def spread(predicted: list[int], confidence: float = 0.7) -> np.ndarray:
    """Probabilities [N, 4] with one confidence for the predicted class."""
    rows = np.full((len(predicted), 4), (1 - confidence) / 3)
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_eight_utterances_of_four_classes() -> None:
    # happy 3 of 4 right, neutral 1 of 2, sad 0 of 1, angry 1 of 1.
    truth = [0, 0, 0, 0, 1, 1, 2, 3]
    given = [0, 0, 0, 1, 1, 3, 0, 3]
    actual = scores(np.array(truth), np.array(given), spread(given), CLASSES, calibration_bins=10)
    assert actual["recall"] == {"happy": 0.75, "neutral": 0.5, "sad": 0.0, "angry": 1.0}
    assert actual["ua"] == 0.5625  # (0.75 + 0.5 + 0 + 1) / 4
    assert actual["wa"] == 0.625  # 5 / 8
    # F1: happy 2*3/(4+4), neutral 2*1/(2+2), sad 0, angry 2*1/(1+2)
    assert actual["macro_f1"] == pytest.approx((0.75 + 0.5 + 0 + 2 / 3) / 4, abs=1e-6)
    assert actual["weighted_f1"] == pytest.approx((4 * 0.75 + 2 * 0.5 + 0 + 2 / 3) / 8, abs=1e-6)
    assert actual["confusion"] == [[3, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert actual["support"] == {"happy": 4, "neutral": 2, "sad": 1, "angry": 1}
    assert actual["absent"] == []
    # One bin holds all: confidence 0.7, 5 of 8 right.
    assert actual["calibration"]["ece"] == pytest.approx(0.075, abs=1e-6)


def test_a_class_that_the_truth_lacks_is_left_out_and_named() -> None:
    actual = scores(np.array([0, 0, 1]), np.array([0, 3, 1]), spread([0, 3, 1]), CLASSES, calibration_bins=5)
    assert actual["absent"] == ["sad", "angry"]
    assert actual["ua"] == 0.75
    assert actual["recall"]["angry"] is None
    assert actual["macro_f1"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-6)


def test_the_edge_of_a_bin_belongs_to_the_lower_one() -> None:
    probabilities = np.array([[0.3, 0.7], [0.2, 0.8], [0.0, 1.0]])
    actual = calibration(probabilities, np.array([1, 0, 1]), np.array([1, 1, 1]), 10)
    assert [row["n"] for row in actual["bins"]] == [0, 0, 0, 0, 0, 0, 1, 1, 0, 1]
    assert actual["bins"][6] == {"low": 0.6, "high": 0.7, "n": 1, "accuracy": 1.0, "confidence": 0.7}
    assert actual["bins"][0]["accuracy"] is None
    assert actual["ece"] == pytest.approx((0.3 + 0.8 + 0.0) / 3, abs=1e-6)
    # 0.28 * 25 is 7.000000000000001: the edge must not slip into the next bin.
    edge = calibration(np.array([[0.28, 0.72]]), np.array([0]), np.array([0]), 25)
    assert [row["n"] for row in edge["bins"]].index(1) == 6


def test_a_tie_of_epochs_goes_to_the_first_and_a_tie_of_classes_to_the_first() -> None:
    logits = np.zeros((3, 2, 2), dtype=np.float32)  # epoch 0: both utterances get class 0 by the tie
    logits[1, :, 1] = 1.0  # epoch 1: both get class 1, the same UA
    epoch, by_epoch = best_epoch(logits[:2], np.array([0, 1]))
    assert (epoch, by_epoch) == (0, [0.5, 0.5])
    logits[2] = [[1, 0], [0, 1]]
    assert best_epoch(logits, np.array([0, 1])) == (2, [0.5, 0.5, 1.0])


def test_uas_that_are_equal_on_paper_are_a_tie() -> None:
    # Recalls 1/3, 1 and 1, 1/3 in another order: the sums differ in the last bit on some machines.
    truth = np.array([0, 0, 0, 1, 2, 2, 2])
    one, two = np.array([0, 1, 1, 1, 2, 1, 1]), np.array([0, 1, 1, 1, 1, 1, 2])
    assert ua(truth, one) == pytest.approx(ua(truth, two), abs=1e-12)
    logits = np.stack([np.eye(3)[one], np.eye(3)[two]]).astype(np.float32)
    assert best_epoch(logits, truth)[0] == 0


def test_softmax_of_huge_logits_stays_finite() -> None:
    actual = softmax(np.array([[1000.0, 1000.0, -1000.0]], dtype=np.float32))
    assert actual.tolist() == [[0.5, 0.5, 0.0]]


def test_mean_and_sample_deviation() -> None:
    assert mean_sd([0.2, 0.4, 0.6]) == {"mean": 0.4, "sd": 0.2}
    assert mean_sd([0.5]) == {"mean": 0.5, "sd": 0.0}
