"""The search around the last face: the same results from fewer pixels, within its limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.records import Box
from foalnet.faces import detect_all, search
from foalnet.faces.base import best_first
from foalnet.faces.search import MOST_SHARE, STEP_PX, WHOLE_EVERY, around
from tests.support.marks import red_when

WIDTH, HEIGHT, FACE = 360, 240, 40


class Squares:
    """Finds uniform squares: the level is the person, level / 255 the score; counts what it was shown."""

    name = "squares"

    def __init__(self, *, fails_on: tuple[int, int] | None = None) -> None:
        self.shown: list[tuple[int, int]] = []
        self.fails_on = fails_on

    def digest(self) -> str:
        return ""

    def weights(self) -> dict[str, str]:
        return {}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        self.shown += [frame.shape[:2] for frame in frames]
        if any(frame.shape[:2] == self.fails_on for frame in frames):
            raise RuntimeError("not this size")
        return [self._one(frame[..., 0]) for frame in frames]

    def _one(self, level_HW: np.ndarray) -> list[Box]:
        boxes = []
        for level in np.unique(level_HW[level_HW > 0]).tolist():
            y, x = np.nonzero(level_HW == level)
            edges = {"left": float(x.min()), "top": float(y.min())}
            boxes.append(Box(**edges, right=float(x.max() + 1), bottom=float(y.max() + 1), score=level / 255))
        return best_first(boxes)


def frame(*people: tuple[int, int, int]) -> np.ndarray:
    """Return a picture of people (left, top, level)."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for left, top, level in people:
        out[top : top + FACE, left : left + FACE] = level
    return out


def whole(frames: Sequence[np.ndarray]) -> tuple[tuple[Box, ...], ...]:
    return detect_all(Squares(), frames).boxes


places = st.tuples(st.integers(0, WIDTH - FACE), st.integers(0, HEIGHT - FACE), st.sampled_from([200, 230]))


@given(st.lists(st.lists(places, max_size=1), max_size=12), st.sampled_from([1.2, 2.0, 3.0]))
def test_one_person_is_detected_as_in_whole_pictures_wherever_they_go(
    walk: list[list[tuple[int, int, int]]], roi: float
) -> None:
    frames = [frame(*people) for people in walk]
    assert search(Squares(), frames, roi=roi, min_score=0.5).boxes == whole(frames)


@given(st.lists(st.lists(places, max_size=2), min_size=1, max_size=8))
def test_what_comes_later_changes_nothing(walk: list[list[tuple[int, int, int]]]) -> None:
    frames = [frame(*people) for people in walk]
    every = search(Squares(), frames, roi=3.0, min_score=0.5).boxes
    assert search(Squares(), frames[:-1], roi=3.0, min_score=0.5).boxes == every[:-1]


def test_without_a_region_all_frames_are_one_call_and_with_it_few_pixels_are_looked_at() -> None:
    frames = [frame((100 + 4 * i, 80, 200)) for i in range(2 * WHOLE_EVERY)]
    everywhere, near = Squares(), Squares()
    assert search(everywhere, frames, roi=0.0, min_score=0.5) == search(near, frames, roi=3.0, min_score=0.5)
    assert everywhere.shown == [(HEIGHT, WIDTH)] * (2 * WHOLE_EVERY)
    assert near.shown == [(HEIGHT, WIDTH), *[(128, 128)] * (WHOLE_EVERY - 1)] * 2


def test_a_face_that_left_its_region_is_looked_for_everywhere() -> None:
    frames = [frame((20, 20, 200)), frame((300, 180, 200)), frame(), frame((60, 60, 200))]
    detector = Squares()
    assert search(detector, frames, roi=3.0, min_score=0.5).boxes == whole(frames)
    near, every = (128, 128), (HEIGHT, WIDTH)
    assert detector.shown == [every, near, every, near, every, every]


def test_of_two_people_none_is_followed_by_the_search() -> None:
    frames = [frame((20, 60, 200), (250, 60, 230))] * 3
    detector = Squares()
    assert search(detector, frames, roi=3.0, min_score=0.5).boxes == whole(frames)
    assert detector.shown == [(HEIGHT, WIDTH)] * 3


def test_a_chance_box_hides_a_face_for_a_few_looks_only() -> None:
    poster, face = (20, 60, 200), (250, 60, 230)
    frames = [frame(poster), *[frame(poster, face)] * 11]
    seen = search(Squares(), frames, roi=3.0, min_score=0.5).boxes
    assert [len(boxes) for boxes in seen] == [1] * WHOLE_EVERY + [2] * (12 - WHOLE_EVERY)


def test_a_box_cut_by_the_region_and_an_unsure_one_are_not_believed() -> None:
    # 128 pixels around the middle 120 of the first box: the second one sticks out by half, then lies outside.
    frames = [frame((100, 100, 200)), frame((164, 100, 200)), frame((164, 100, 100))]
    detector = Squares()
    assert search(detector, frames, roi=3.0, min_score=0.5).boxes == whole(frames)
    assert detector.shown == [(HEIGHT, WIDTH), (128, 128), (HEIGHT, WIDTH), (128, 128), (HEIGHT, WIDTH)]


@red_when("faces/search.py", "failed looks are not named")
def test_t54_a_detector_that_fails_on_a_region_searches_the_whole_picture() -> None:
    frames = [frame((100, 100, 200))] * 3
    detections = search(Squares(fails_on=(128, 128)), frames, roi=3.0, min_score=0.5)
    assert detections.boxes == whole(frames) and detections.failed == ()
    detections = search(Squares(fails_on=(HEIGHT, WIDTH)), frames, roi=3.0, min_score=0.5)
    assert detections.boxes == ((), (), ()) and detections.failed == (0, 1, 2)


@given(
    st.floats(-50, 400), st.floats(-50, 300), st.floats(1, 300), st.floats(1, 300),
    st.integers(1, 900), st.integers(1, 700), st.floats(0.1, 9.0),
)  # fmt: skip
def test_a_region_is_inside_the_picture_and_saves_time(
    left: float, top: float, wide: float, high: float, width: int, height: int, roi: float
) -> None:
    box = Box(left=left, top=top, right=left + wide, bottom=top + high)
    region = around(box, width, height, roi)
    if region is None:
        assert (max(wide, high) * roi + STEP_PX) ** 2 > MOST_SHARE * width * height
        return
    x0, y0, x1, y1 = region
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert (x1 - x0) % STEP_PX == 0 or x1 - x0 == width
    assert (y1 - y0) % STEP_PX == 0 or y1 - y0 == height
    assert (x1 - x0) * (y1 - y0) <= MOST_SHARE * width * height
    inside = left >= 0 and top >= 0 and left + wide <= width and top + high <= height
    if inside and roi >= 1.1:
        assert x0 <= left + 1 and y0 <= top + 1 and x1 >= left + wide - 1 and y1 >= top + high - 1


def test_around_by_hand() -> None:
    assert around(Box(left=100, top=100, right=140, bottom=130), 360, 240, 3.0) == (56, 51, 184, 179)
    assert around(Box(left=0, top=200, right=40, bottom=240), 360, 240, 3.0) == (0, 112, 128, 240)
    assert around(Box(left=100, top=60, right=200, bottom=160), 360, 240, 3.0) is None


@pytest.mark.parametrize("roi", [0.0, 3.0])
def test_search_without_frames(roi: float) -> None:
    assert search(Squares(), [], roi=roi, min_score=0.5).boxes == ()
