"""Selective prediction against curves worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.selective import selective


def test_a_curve_worked_by_hand() -> None:
    confidence_N = np.array([0.5, 0.95, 0.6, 0.9, 0.55])
    right_N = np.array([False, True, False, True, True])
    one = selective(confidence_N, right_N, [1.0, 0.8, 0.6, 0.5, 0.4])
    # Surest first: right, right, wrong (0.6), right (0.55), wrong; risks 0, 0, 1/3, 1/4, 2/5. Half of 5 keeps 3.
    assert one.accuracy == pytest.approx((0.6, 0.75, 2 / 3, 2 / 3, 1.0))
    assert one.aurc == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)
    # Both errors last: 0, 0, 0, 1/4, 2/5.
    assert one.best == pytest.approx((1 / 4 + 2 / 5) / 5) and one.random == 0.4


def test_equal_confidences_have_the_expectation_of_a_random_order_whatever_the_order_of_rows() -> None:
    right_N = np.array([True, False, False, True])
    for order in ([0, 1, 2, 3], [1, 2, 0, 3], [3, 2, 1, 0]):
        one = selective(np.full(4, 0.25), right_N[order])
        assert one.accuracy == (0.5, 0.5, 0.5, 0.5, 0.5) and one.aurc == one.random == 0.5
    # One sure right answer, then two of equal confidence of which one is right: accuracies 1, 0.75, 2/3.
    one = selective(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), [1.0])
    assert one.aurc == pytest.approx(1 - (1 + 0.75 + 2 / 3) / 3)


def test_an_order_with_all_errors_last_is_the_best_possible_and_the_reverse_is_worse_than_random() -> None:
    right_N = np.array([True] * 7 + [False] * 3)
    good, bad = selective(np.linspace(0.9, 0.3, 10), right_N), selective(np.linspace(0.3, 0.9, 10), right_N)
    assert good.aurc == pytest.approx(good.best) and bad.aurc > bad.random == 0.3
    assert good.accuracy[3] == 1.0, "0.7 of 10 answers are 7, not 8"
    with pytest.raises(ValueError, match="no answer"):
        selective(np.array([]), np.array([], bool))
