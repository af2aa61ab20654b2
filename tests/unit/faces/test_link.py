"""Boxes become one track per face: by overlap, within a shot, and none of another face."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces.link import MOST_FACES, link, overlap

WIDTH, HEIGHT, FPS = 640, 360, 25


def at(x: float, y: float = 150.0, side: float = 60.0, score: float = 0.9) -> Box:
    return Box(left=x - side / 2, top=y - side / 2, right=x + side / 2, bottom=y + side / 2, score=score)


def linked(detections: dict[int, list[Box]], cuts: tuple[int, ...] = ()) -> list[dict[int, Box]]:
    times_s = [frame / FPS for frame in range(max(detections) + 1)]
    return link(detections, times_s, cuts=cuts, width_px=WIDTH, height_px=HEIGHT, params=Shards())


def middles(track: dict[int, Box]) -> list[float]:
    return [(box.left + box.right) / 2 for box in track.values()]


def test_two_faces_that_move_keep_a_track_each_whatever_the_order_of_their_boxes() -> None:
    seen = {i: [at(100 + i), at(400 - i, side=90)][:: 1 if i % 12 else -1] for i in range(0, 60, 6)}
    assert [middles(track) for track in linked(seen)] == [
        [400.0 - i for i in range(0, 60, 6)],
        [100.0 + i for i in range(0, 60, 6)],
    ]


def test_each_box_goes_to_the_face_that_it_overlaps_most() -> None:
    # The second look of both is between the two faces, and closer to the right one.
    seen = {0: [at(200), at(250)], 6: [at(212), at(258)], 12: [at(218), at(262)]}
    assert [middles(track) for track in linked(seen)] == [[200.0, 212.0, 218.0], [250.0, 258.0, 262.0]]


@pytest.mark.parametrize(("gap", "tracks"), [(18, 1), (30, 2)])
def test_a_face_that_is_missed_for_up_to_bridge_s_is_the_same_face(gap: int, tracks: int) -> None:
    assert len(linked({0: [at(200)], 6: [at(200)], 6 + gap: [at(200)], 12 + gap: [at(200)]})) == tracks


def test_a_cut_ends_every_track() -> None:
    seen = {i: [at(200)] for i in range(0, 49, 6)}
    assert [list(track) for track in linked(seen, cuts=(20,))] == [[24, 30, 36, 42, 48], [0, 6, 12, 18]]


def test_a_box_seen_once_or_unsure_or_outside_is_no_face() -> None:
    seen = {i: [at(200), at(400, score=0.3), at(-40)] + ([at(500)] if i == 6 else []) for i in range(0, 30, 6)}
    assert [middles(track) for track in linked(seen)] == [[200.0] * 5]


def test_of_a_crowd_the_largest_faces_are_kept() -> None:
    sides = [20.0 + 2 * i for i in range(MOST_FACES + 3)]
    seen = {i: [at(30 + 55 * n, side=side) for n, side in enumerate(sides)] for i in (0, 6)}
    kept = [next(iter(track.values())) for track in linked(seen)]
    assert [box.right - box.left for box in kept] == sorted(sides, reverse=True)[:MOST_FACES]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(20, 600), st.integers(20, 340)), max_size=24))
def test_every_box_is_in_at_most_one_track_and_no_track_has_two_on_a_frame(
    given_boxes: list[tuple[int, int, int]],
) -> None:
    seen: dict[int, list[Box]] = {i: [] for i in range(0, 36, 6)}
    for look, x, y in given_boxes:
        seen[6 * look].append(at(x, y))
    used = [(frame, id(box)) for track in linked(seen) for frame, box in track.items()]
    assert len(used) == len(set(used))
    assert all(id(box) in {id(b) for b in seen[frame]} for track in linked(seen) for frame, box in track.items())


def test_overlap_is_a_share_and_symmetric() -> None:
    one, other = at(100), at(130)
    assert overlap(one, one) == 1.0 and overlap(one, at(300)) == 0.0
    assert overlap(one, other) == overlap(other, one) == pytest.approx(1 / 3)
