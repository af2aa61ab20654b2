"""The bench of the code's size runs on this checkout."""

from __future__ import annotations

from bench.house import circles, measures
from tests.structure import FLOORS
from tests.support.projects import REPOSITORY


def test_it_measures_this_checkout() -> None:
    rows = measures(REPOSITORY)
    assert (rows["rooms"], rows["circles between rooms"]) == (str(len(FLOORS)), "0")


def test_a_circle_is_a_group() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]
