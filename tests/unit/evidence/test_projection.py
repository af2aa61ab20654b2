"""The projection figure: a plane by principal components, thinned, the same for the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.evidence.report.projection import plane


def test_two_kinds_of_answers_lie_apart_along_the_first_direction() -> None:
    rng = np.random.default_rng(0)
    sure = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])
    rows_NC = np.repeat(sure, 20, axis=0) + rng.uniform(0, 0.01, (40, 3))
    points = plane(rows_NC / rows_NC.sum(axis=1, keepdims=True))
    assert points is not None
    places_N2, (first, second) = points
    assert abs(places_N2[:20, 0].mean() - places_N2[20:, 0].mean()) > 0.9
    assert first > 0.95 and first + second <= 1.0 + 1e-9


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=30))
def test_places_are_finite_and_inside_and_repeat(rows: list[list[float]]) -> None:
    rows_NC = np.array(rows)
    rows_NC /= rows_NC.sum(axis=1, keepdims=True)
    points = plane(rows_NC)
    if points is None:
        assert len(rows) < 3 or np.ptp(np.log(rows_NC + 1e-6), axis=0).max() == 0
        return
    assert np.isfinite(points[0]).all() and points[0].min() >= 0 and points[0].max() <= 1 + 1e-12
    again = plane(rows_NC)
    assert again is not None and np.array_equal(points[0], again[0])


@pytest.mark.parametrize("rows", [np.full((5, 3), 1 / 3), np.eye(2)])
def test_there_is_no_plane_without_a_difference_or_with_two_answers(rows: np.ndarray) -> None:
    assert plane(rows) is None
