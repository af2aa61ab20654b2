"""Faces that are absent, several, swapped or cut, and a detector that breaks down (T50 to T54), in staged trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.shards import NO_BOX
from tests.support.corpus.staging import Place, account, entries, pictures, same_sound_as, samples, stage_with
from tests.support.corpus.trees import TURNS
from tests.support.corpus.videos import FPS, TOP, WIDTH, level
from tests.support.marks import red_when

# The half without bars is 360 x 240 pixels, its middle at (180, 120).
FACE = Box(left=140.0, top=80.0, right=220.0, bottom=160.0, score=0.9)


def at(x: float, *, side: float = 80.0) -> Box:
    return Box(left=x - side / 2, top=120 - side / 2, right=x + side / 2, bottom=120 + side / 2, score=0.9)


def watched(place: Place, **shards: Any) -> Place:
    """Return the place with other params of the detector's use."""
    return replace(place, shards=Shards(detector="fixed", **shards))


def middles(video: dict[str, Any]) -> np.ndarray:
    """Return where in its half each slot's box is, from left to right; NaN where there is none."""
    start = video["area"][0]
    return np.array([np.nan if not any(b) else (b[0] + b[2]) / 2 - start for b in video["boxes"]])


@red_when("clips/dialogue.py", "an utterance without a face is not counted")
def test_t50_no_face_at_all_keeps_every_slot_masked_and_says_so(
    place: Place, whole: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = stage_with(place, monkeypatch, lambda i, n: [])
    report = account(place)
    assert report["no_face"] == sorted(got) and report["coverage"]["overall"] == 0.0
    assert report["frames"]["missing"] == {"no_face": report["frames"]["total"]}
    assert set(got) == set(samples(whole)) and same_sound_as(whole, place)
    for key, (video, sample) in got.items():
        assert set(video["reasons"]) == {"no_face"} and sample.members["face.mjpg"] == b""
        assert pictures((video, sample), "half") == pictures(samples(whole)[key], "half")
        assert entries(place)[key] == [("kept", "no_face")]


@red_when("faces/track.py", "a box is held for the whole bridge")
def test_t50_no_face_in_the_first_part_masks_that_part(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spotted = watched(place, stride=2, bridge_s=0.2)
    got = stage_with(spotted, monkeypatch, lambda i, n: [FACE] if i >= n - 4 else [])
    for video, sample in got.values():
        frames = len(video["times_s"])
        looks = [i for i in range(frames) if i % 2 == 0 or i == frames - 1]
        faces = pictures((video, sample), "face")
        # Back from the first face a box is held for half the bridge: 0.1 s, 2 frames.
        first = looks[-4] - 2
        assert [bool(face) for face in faces] == [i >= first for i in range(frames)]
        assert video["reasons"] == ["no_face"] * first + [""] * (frames - first)
    missing = account(spotted)["frames"]["missing"]
    assert missing == {"no_face": sum(video["reasons"].count("no_face") for video, _ in got.values())}
    assert entries(spotted) == {}, "an utterance that has a face somewhere is not one without"


@red_when("faces/track.py", "every box counts as detected")
@pytest.mark.parametrize("stride", [1, 6])
def test_t50_a_face_in_every_second_frame_is_bridged(
    place: Place, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    got = stage_with(
        watched(place, stride=stride), monkeypatch, lambda i, n: [FACE] if i % 2 == 0 or i == n - 1 else []
    )
    for video, sample in got.values():
        frames = len(video["times_s"])
        looks = [i for i in range(frames) if i % stride == 0 or i == frames - 1]
        seen = {i for place, i in enumerate(looks) if place % 2 == 0 or place == len(looks) - 1}
        assert video["sources"] == ["detected" if i in seen else "bridged" for i in range(frames)]
        assert all(pictures((video, sample), "face")) and set(video["reasons"]) == {""}


@red_when("faces/track.py", "`EDGE_WORTH` 1: a face at the edge is worth as much")
def test_t51_of_two_faces_the_one_in_the_middle_is_cut_though_the_other_is_larger(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other actor looks in from the side, a little larger; in every second look named first.
    both = [at(180, side=80), at(330, side=92)]
    got = stage_with(place, monkeypatch, lambda i, n: both if i % 2 else both[::-1])
    for video, _ in got.values():
        assert np.allclose(middles(video), 180, atol=0.1) and "missing" not in video["sources"]
    assert account(place)["jumps"] == 0 and entries(place) == {}


@red_when("faces/track.py", "a face's size has no worth")
def test_t51_of_two_faces_in_the_middle_the_larger_one_is_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [at(120, side=60), at(240, side=84)]
    got = stage_with(place, monkeypatch, lambda i, n: both if i % 2 else both[::-1])
    assert all(np.allclose(middles(video), 240, atol=0.1) for video, _ in got.values())


@red_when("faces/track.py", "a head may move any way between two looks")
@red_when("clips/dialogue.py", "jumps are not counted")
def test_t52_a_swap_in_the_middle_is_not_followed_and_is_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = watched(place, stride=3, bridge_s=0.2)
    got = stage_with(swapped, monkeypatch, lambda i, n: [at(100 if i < n - 2 else 290)])
    for video, sample in got.values():
        frames = len(video["times_s"])
        looks = [i for i in range(frames) if i % 3 == 0 or i == frames - 1]
        there = middles(video)
        assert np.allclose(there[~np.isnan(there)], 100, atol=0.1), "the longer part is the person"
        # The first person is held for 0.1 s after the last look that saw them: 2 frames.
        assert [bool(face) for face in pictures((video, sample), "face")] == [i <= looks[-3] + 2 for i in range(frames)]
        assert video["reasons"][-1] == "no_face" and video["sources"][looks[-2]] != "detected"
    assert account(swapped)["jumps"] == 2 * len(got)


@red_when("faces/crop.py", "what lies outside the picture is black")
@pytest.mark.parametrize("x", [5.0, 355.0])
def test_t53_a_face_at_the_border_is_padded_to_its_exact_size(
    place: Place, monkeypatch: pytest.MonkeyPatch, x: float
) -> None:
    got = stage_with(place, monkeypatch, lambda i, n: [at(x, side=100)])
    for key, (video, sample) in got.items():
        _, start, end = next(turn for turn in TURNS if key.endswith(turn[0]))
        side = "left" if key[5] == key.split("_")[-1][0] else "right"
        indices = [i for i in range(84) if start <= i / FPS < end]
        for index, jpeg in zip(indices, pictures((video, sample), "face"), strict=True):
            face = media.read_jpeg(jpeg)
            # No black edge where the picture ends, and nothing of the other half or the bars.
            assert face.shape == (64, 64, 3) and np.abs(face.astype(int) - level(index, side)).max() <= 4
        assert {tuple(box) for box in video["boxes"]} == {
            (x - 50 + (side == "right") * WIDTH // 2, 70 + TOP, x + 50 + (side == "right") * WIDTH // 2, 170 + TOP)
        }


def raises(i: int, n: int) -> Any:
    raise RuntimeError("cuDNN on a bad day")


BREAKDOWNS: dict[str, Callable[[int, int], Any]] = {
    "raises": raises,
    "none": lambda i, n: None,
    "nan": lambda i, n: [replace(FACE, left=float("nan"))],
    "inside out": lambda i, n: [replace(FACE, left=FACE.right, right=FACE.left)],
}


@red_when("faces/base.py", "exceptions are not caught")
@red_when("faces/base.py", "every box is a box", case="nan")
@red_when("faces/base.py", "no answer is an answer", case="none")
@pytest.mark.parametrize("how", BREAKDOWNS)
def test_t54_a_detector_that_breaks_down_masks_its_frames_and_is_counted(
    place: Place, whole: Place, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    got = stage_with(place, monkeypatch, BREAKDOWNS[how])
    assert set(got) == set(samples(whole)) and same_sound_as(whole, place)
    details = {e["item"]: e["detail"] for e in account(place)["ledger"]["entries"] if e["reason"] == "detector_failed"}
    for key, (video, sample) in got.items():
        frames = len(video["times_s"])
        looks = sum(i % 6 == 0 or i == frames - 1 for i in range(frames))
        assert entries(place)[key] == [("kept", "detector_failed"), ("kept", "no_face")]
        assert details[key] == f"{looks} frames"
        assert set(video["reasons"]) == {"no_face"} and {tuple(box) for box in video["boxes"]} == {NO_BOX}
        assert pictures((video, sample), "half") == pictures(samples(whole)[key], "half")
