"""One person's box in every frame: the correct choice, short bridges, smooth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foalnet.config.blocks import Shards
from foalnet.core.records import Box, FaceTrack
from foalnet.faces import count_jumps, track
from tests.support.marks import red_when

PERIOD_S = 1001 / 30000
WIDTH, HEIGHT = 360, 240
PARAMS = Shards()


def at(x: float, y: float = 120.0, side: float = 40.0, score: float = 0.9) -> Box:
    return Box(left=x - side / 2, top=y - side / 2, right=x + side / 2, bottom=y + side / 2, score=score)


def times(count: int) -> list[float]:
    return [i * PERIOD_S for i in range(count)]


def tracked(detections: dict[int, list[Box]], count: int, params: Shards = PARAMS) -> FaceTrack:
    return track(detections, times(count), width_px=WIDTH, height_px=HEIGHT, params=params)


def jumps(detections: dict[int, list[Box]], count: int) -> int:
    return count_jumps(detections, times(count), width_px=WIDTH, height_px=HEIGHT, params=PARAMS)


def centres(faces: FaceTrack) -> np.ndarray:
    return np.array([((b.left + b.right) / 2, (b.top + b.bottom) / 2) for b in faces.boxes if b])


def test_a_still_face_under_a_stride_is_on_every_frame_and_does_not_jitter() -> None:
    noise = np.random.default_rng(0)
    detections = {
        i: [at(180 + noise.normal(0, 1.5), 120 + noise.normal(0, 1.5), side=40 * 1.06 ** noise.normal())]
        for i in range(0, 90, 6)
        if i < 86
    }
    faces = tracked(detections, 86)
    assert list(faces.sources) == ["detected" if i % 6 == 0 else "bridged" for i in range(86)]
    assert np.abs(np.diff(centres(faces), axis=0)).max() < 1.0
    sides = np.array([b.right - b.left for b in faces.boxes if b])
    assert np.abs(np.diff(sides)).max() < 1.0 and np.abs(centres(faces) - (180, 120)).max() < 3.0


def test_one_wild_box_does_not_pull_the_track() -> None:
    detections = {i: [at(180 if i != 30 else 195)] for i in range(0, 60, 6)}
    assert np.abs(centres(tracked(detections, 60))[:, 0] - 180).max() < 1.5


def test_a_moving_head_is_followed_without_lag() -> None:
    detections = {i: [at(60 + 2.0 * i)] for i in range(0, 61, 6)}
    faces = tracked(detections, 61)
    assert np.abs(centres(faces)[:, 0] - (60 + 2.0 * np.arange(61))).max() < 1.0


@red_when("faces/track.py", "a slot without a box has no reason")
def test_t50_no_face_at_all() -> None:
    faces = tracked({i: [] for i in range(0, 30, 6)}, 30)
    assert set(faces.sources) == {"missing"} and set(faces.reasons) == {"no_face"} and set(faces.boxes) == {None}
    assert tracked({}, 5).reasons == ("no_face",) * 5


@red_when("faces/track.py", "a box is held for the whole bridge")
def test_t50_no_face_in_the_first_second_is_missing_but_for_half_a_bridge() -> None:
    detections: dict[int, list[Box]] = {i: ([at(180)] if i >= 36 else []) for i in range(0, 90, 6)}
    faces = tracked(detections, 90)
    first = next(i for i, box in enumerate(faces.boxes) if box)
    assert first == math.ceil(36 - PARAMS.bridge_s / 2 / PERIOD_S)
    assert faces.reasons[:first] == ("no_face",) * first and faces.sources[first:36] == ("bridged",) * (36 - first)


@red_when("faces/track.py", "no gap is bridged, no box is held")
def test_t50_a_face_in_every_second_look_is_whole() -> None:
    detections: dict[int, list[Box]] = {i: ([at(180)] if i % 12 == 0 else []) for i in range(0, 90, 6)}
    assert "missing" not in tracked(detections, 90).sources


def test_a_gap_longer_than_the_bridge_is_open_in_its_middle() -> None:
    detections: dict[int, list[Box]] = {i: ([at(180)] if i <= 30 or i >= 120 else []) for i in range(0, 150, 6)}
    faces = tracked(detections, 150)
    hold = math.floor(PARAMS.bridge_s / 2 / PERIOD_S)
    gone = [i for i, source in enumerate(faces.sources) if source == "missing"]
    assert gone == list(range(30 + hold + 1, 120 - hold))


def test_without_a_bridge_only_detected_frames_have_a_box() -> None:
    faces = tracked({i: [at(180)] for i in range(0, 30, 6)}, 30, Shards(bridge_s=0.0))
    assert [i for i, box in enumerate(faces.boxes) if box] == list(range(0, 30, 6))


@red_when("faces/track.py", "a smaller face is worth more")
def test_t51_the_larger_of_two_steady_people_wins_whatever_the_order_of_boxes() -> None:
    pairs = {i: [at(120, side=36), at(230, side=52)] for i in range(0, 60, 6)}
    turned = {i: boxes[::-1] if i % 12 else boxes for i, boxes in pairs.items()}
    assert np.allclose(centres(tracked(pairs, 60))[:, 0], 230)
    assert tracked(turned, 60) == tracked(pairs, 60)
    assert jumps(pairs, 60) == 0


@red_when("faces/track.py", "`EDGE_WORTH` 1: a face at the edge is worth as much")
def test_t51_a_second_person_at_the_edge_loses_even_where_seen_a_little_larger() -> None:
    detections = {i: [at(180, side=40), at(340, side=46)] for i in range(0, 60, 6)}
    assert np.allclose(centres(tracked(detections, 60))[:, 0], 180)


@red_when("faces/track.py", "a chain may leap anywhere and to any size at no cost, and no median is taken")
def test_t51_a_large_box_that_comes_and_goes_loses_to_the_steady_person() -> None:
    detections = {i: [at(180)] for i in range(0, 90, 6)}
    detections[30] = [at(180), at(70, side=110)]
    detections[60] = [at(180), at(300, side=90)]
    assert np.allclose(centres(tracked(detections, 90))[:, 0], 180)


@red_when("faces/track.py", "a head may move any way between two looks")
def test_t52_a_swap_in_the_middle_is_a_jump_and_counted() -> None:
    detections = {i: [at(110 if i < 60 else 260)] for i in range(0, 90, 6)}
    faces = tracked(detections, 90)
    assert np.allclose(centres(faces)[:, 0], 110), "the longer half is the person"
    assert faces.sources[-1] == "missing" and jumps(detections, 90) == 5


@red_when("faces/track.py", "a head may move any way between two looks, at no cost")
def test_t52_a_chain_does_not_change_over_when_two_people_pass_close_by() -> None:
    detections = {i: [at(150, score=0.8), at(206, score=0.9 if i % 12 else 0.6)] for i in range(0, 90, 6)}
    assert np.ptp(centres(tracked(detections, 90))[:, 0]) < 1.0


@red_when("faces/track.py", "every box is a box")
def test_t54_boxes_that_are_no_boxes_and_unsure_ones_are_not_used() -> None:
    bad = [
        Box(left=math.nan, top=0, right=40, bottom=40),
        Box(left=0, top=0, right=math.inf, bottom=40),
        Box(left=50, top=0, right=10, bottom=40),
        at(180, score=0.4),
        at(180, score=math.nan),
        at(500),
    ]
    assert set(tracked(dict.fromkeys(range(0, 30, 6), bad), 30).sources) == {"missing"}
    mixed = {i: [*bad, at(180)] for i in range(0, 30, 6)}
    assert np.allclose(centres(tracked(mixed, 30)), (180, 120))


def test_a_detection_on_a_frame_that_does_not_exist_is_a_callers_fault() -> None:
    with pytest.raises(ValueError, match="frame 9 of an utterance with 5 frames"):
        tracked({9: [at(180)]}, 5)


def test_a_single_frame_with_one_face() -> None:
    faces = tracked({0: [at(180, score=0.7)]}, 1)
    assert faces.sources == ("detected",) and faces.boxes[0] == at(180, score=0.7)


BOXES = st.builds(
    at,
    st.floats(-50, 410),
    st.floats(-50, 290),
    st.floats(0.5, 300),
    st.floats(0, 1),
)


@settings(max_examples=150)
@given(st.data())
def test_every_frame_has_one_slot_and_no_box_is_far_from_a_detection(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.floats(0.005, 1.5), min_size=1, max_size=40))
    stamps = list(itertools.accumulate(gaps))
    looked = data.draw(st.sets(st.integers(0, len(stamps) - 1)))
    detections = {i: data.draw(st.lists(BOXES, max_size=3)) for i in sorted(looked)}
    params = Shards(bridge_s=data.draw(st.sampled_from([0.0, 0.3, 1.0])))
    faces = track(detections, stamps, width_px=WIDTH, height_px=HEIGHT, params=params)
    assert len(faces.boxes) == len(stamps) and faces.times_s == tuple(stamps)
    seen = [i for i, source in enumerate(faces.sources) if source == "detected"]
    assert set(seen) <= {i for i in detections if detections[i]}
    for i, (box, source, reason) in enumerate(zip(faces.boxes, faces.sources, faces.reasons, strict=True)):
        assert (box is None) == (source == "missing") == (reason == "no_face")
        if box is not None:
            assert box.right > box.left and box.bottom > box.top and 0 <= box.score <= 1
        if source == "bridged":
            before = max((stamps[j] for j in seen if j < i), default=-math.inf)
            after = min((stamps[j] for j in seen if j > i), default=math.inf)
            held = min(stamps[i] - before, after - stamps[i]) <= params.bridge_s / 2 + 1e-9
            assert held or after - before <= params.bridge_s + 1e-9
    assert faces == track(dict(reversed(detections.items())), stamps, width_px=WIDTH, height_px=HEIGHT, params=params)
