"""Controls: permuted labels and answers that know nothing of the clip."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.evidence.controls import by_majority, by_prior, permuted

LABELS = np.tile([0, 1, 2, 3], 25)
SPEAKERS = [f"S{i // 20}" for i in range(100)]


def test_perfect_predictions_fall_to_chance_under_permuted_labels() -> None:
    one = permuted(LABELS, LABELS, SPEAKERS, permutations=200, seed=1)
    assert one.mean == pytest.approx(0.25, abs=0.02) and one.highest < 0.5 and one.p == pytest.approx(1 / 201)
    assert permuted(LABELS, LABELS, SPEAKERS, permutations=200, seed=1) == one
    assert permuted(LABELS, LABELS, SPEAKERS, permutations=200, seed=2) != one


def test_a_constant_answer_is_at_chance_and_every_permutation_equals_it() -> None:
    one = permuted(LABELS, np.zeros(100, int), SPEAKERS, permutations=50, seed=1)
    assert (one.mean, one.highest, one.p) == (0.25, 0.25, 1.0)


def test_predictions_that_follow_the_speaker_alone_keep_their_score() -> None:
    # Speakers A and B have 3 of 4 utterances in one class, and are answered with it.
    label_N, groups = np.array([0, 0, 0, 1, 1, 1, 1, 0]), ["A"] * 4 + ["B"] * 4
    predicted_N = np.array([0] * 4 + [1] * 4)
    one = permuted(label_N, predicted_N, groups, permutations=20, seed=3)
    assert (one.mean, one.p) == (0.75, 1.0) and by_majority(label_N, groups) == 0.75


def test_ua_of_majorities_and_of_priors_worked_by_hand() -> None:
    assert by_majority(np.array([0, 0, 1, 2]), ["all"] * 4) == pytest.approx(1 / 3)
    # A tie goes to the first class.
    assert by_majority(np.array([1, 0]), ["a", "a"]) == 0.5
    assert by_prior(np.array([0, 1, 1]), np.array([[0.6, 0.4]] * 3)) == pytest.approx((0.6 + 0.4) / 2)
