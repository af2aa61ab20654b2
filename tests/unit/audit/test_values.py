"""Probabilities, logits, logarithms, percentages; rows that are none of them."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.audit.values import probabilities_of, repeated

KEYS = ["a", "b", "c"]
RIGHT = np.array([[0.7, 0.3], [0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (RIGHT, "every row is finite"),
        (np.log(RIGHT), "logarithms"),
        (np.log(RIGHT) + 5, "logits"),
        (100 * RIGHT, "percentages"),
    ],
)
def test_each_kind_gives_the_same_probabilities(values: np.ndarray, what: str) -> None:
    probability_NC, checks = probabilities_of(values, KEYS)
    assert np.allclose(probability_NC, RIGHT) and what in checks[0].text and len(checks) == 1


def test_rows_that_are_no_probabilities_are_named_and_scaled() -> None:
    probability_NC, checks = probabilities_of(np.array([[0.7, 0.3], [0.25, 0.25], [1.5, -0.5]]), KEYS)
    assert len(checks) == 1 and "logits" in checks[0].text, "most rows are none: they are logits"
    probability_NC, checks = probabilities_of(np.vstack([RIGHT, [[0.25, 0.25], [1.5, -0.5]]]), [*KEYS, "d", "e"])
    assert [(row.verdict, row.keys) for row in checks] == [("fault", ("e",)), ("fault", ("d",))]
    assert probability_NC[3:].tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_huge_numbers_and_rows_of_nothing() -> None:
    probability_NC, _ = probabilities_of(np.array([[1e308, -1e308], [1e300, 1e301], [0.0, -np.inf]]), KEYS)
    assert probability_NC[:2].tolist() == [[1.0, 0.0], [0.0, 1.0]] and np.isnan(probability_NC[2]).all()
    probability_NC, checks = probabilities_of(np.zeros((3, 2)), KEYS)
    assert np.isnan(probability_NC).all() and checks[0].verdict == "fault"


def test_copied_rows_are_seen_and_sure_or_coarse_ones_are_not_a_fault() -> None:
    generator, every = np.random.default_rng(1), np.ones(100, dtype=bool)
    keys = [str(at) for at in range(100)]
    own_NC = generator.dirichlet([1, 1, 1], size=100)
    assert repeated(own_NC, every, keys).verdict == "ok"
    copied_NC = own_NC.copy()
    copied_NC[50:] = own_NC[:50]
    assert repeated(copied_NC, every, keys).verdict == "fault"
    copied_NC = own_NC.copy()
    copied_NC[90:] = own_NC[:10]
    assert (repeated(copied_NC, every, keys).verdict, repeated(copied_NC, every, keys).count) == ("warning", 20)
    sure_NC = np.tile([1.0, 0.0, 0.0], (100, 1))
    assert repeated(sure_NC, every, keys).verdict == "ok"
    coarse_NC = np.round(own_NC, 1)
    assert repeated(coarse_NC, every, keys).verdict == "warning"
    two_NC = np.round(own_NC[:, :1], 3)
    explained = repeated(np.hstack([two_NC, 1 - two_NC]), every, keys)
    assert explained.verdict == "ok" and explained.text.endswith("another row: as many as 3 digits explain")
