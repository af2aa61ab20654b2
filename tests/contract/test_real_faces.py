"""Real pictures, real detectors: heads of four people at IEMOCAP's size, and pictures without anybody."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces import Detector, get_detector, search, track
from foalnet.media import decode_frames, read_jpeg, resize
from tests.support.marks import red_when

CLIPS = ["bbaf2n", "brbk7n", "lbax4n", "pwij3p"]


@pytest.fixture(scope="session")
def heads(shared_data: Path) -> dict[str, list[np.ndarray]]:
    """Four people talking, 75 frames of 360 x 288 each; a face is about half as high as the picture."""
    return {name: list(decode_frames(shared_data / "clips" / f"{name}.mpg")) for name in CLIPS}


@pytest.fixture(params=["haar", pytest.param("blazeface", marks=pytest.mark.long), "yunet"])
def detector(request: pytest.FixtureRequest, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Detector:
    def no_network(*_: Any, **__: Any) -> Any:
        raise AssertionError("a detector opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    return get_detector(Shards(detector=request.param), Settings(weights=shared_data / "weights"))


def composed(frame: np.ndarray, height: int, seed: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Lay a head picture, `height` rows high, somewhere into a noisy half picture; return it and the head's middle."""
    random = np.random.default_rng(seed)
    small = resize(frame, width_px=round(height * 1.25), height_px=height)
    half = np.clip(90 + random.normal(0, 6, (240, 360, 3)), 0, 255).astype(np.uint8)
    top, left = random.integers(0, 240 - height + 1), random.integers(0, 360 - small.shape[1] + 1)
    half[top : top + height, left : left + small.shape[1]] = small
    return half, (left + small.shape[1] / 2, top + height / 2)


def middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


@pytest.mark.parametrize("height", [72, *(pytest.param(height, marks=pytest.mark.long) for height in (80, 90, 240))])
def test_real_heads_are_detected_at_their_positions(
    heads: dict[str, list[np.ndarray]], detector: Detector, height: int
) -> None:
    """72, 80, 90 rows: faces of 36, 40, 45 pixels, as in IEMOCAP; 240: as large as a half picture allows."""
    pictures = [composed(f, height, seed) for name in CLIPS for seed, f in enumerate(heads[name][::12])]
    answers = detector.detect([picture for picture, _ in pictures])
    right = 0
    for boxes, (_, (x, y)) in zip(answers, pictures, strict=True):
        if boxes:
            box_x, box_y = middle(boxes[0])
            side = boxes[0].right - boxes[0].left
            right += np.hypot(box_x - x, box_y - y) < 0.25 * height and 0.3 < side / height < 0.75
    assert right >= 0.9 * len(pictures)
    assert sum(len(boxes) > 1 for boxes in answers) <= 0.1 * len(pictures)


def test_heads_at_full_size_are_detected(heads: dict[str, list[np.ndarray]], detector: Detector) -> None:
    frames = [frame for name in CLIPS for frame in heads[name][::15]]
    assert sum(len(boxes) == 1 for boxes in detector.detect(frames)) >= 0.9 * len(frames)


def test_no_face_is_detected_in_empty_pictures(shared_data: Path, detector: Detector) -> None:
    # Full size for the cascade; the tiles of a large picture are many, so half for the other.
    grass = read_jpeg((shared_data / "faces" / "facealignment_grass.jpg").read_bytes())
    empty = list(decode_frames(shared_data / "clips" / "no_face.mp4"))[::12]
    pictures = [resize(p, width_px=p.shape[1] // 2, height_px=p.shape[0] // 2) for p in [grass, *empty]]
    if detector.name == "haar":
        pictures += [grass, *empty]
    assert detector.detect(pictures) == [[] for _ in pictures]


def test_a_known_face_is_detected_within_its_box(shared_data: Path, detector: Detector) -> None:
    picture = read_jpeg((shared_data / "faces" / "face_recognition_obama.jpg").read_bytes())
    small = resize(picture, width_px=picture.shape[1] // 3, height_px=picture.shape[0] // 3)
    box = detector.detect([small])[0][0]
    left, top, right, bottom = 349, 142, 617, 409
    width = min(3 * box.right, right) - max(3 * box.left, left)
    height = min(3 * box.bottom, bottom) - max(3 * box.top, top)
    own = 9 * (box.right - box.left) * (box.bottom - box.top)
    assert width * height / ((right - left) * (bottom - top) + own - width * height) > 0.5


@red_when("faces/haar.py", "the first picture of a call is answered for all of them", case="haar")
@red_when("faces/blazeface.py", "the first picture of a call is answered for all of them", case="blazeface")
@red_when("faces/yunet.py", "the first picture of a call is answered for all of them", case="yunet")
def test_t56_the_batch_changes_nothing(heads: dict[str, list[np.ndarray]], detector: Detector) -> None:
    frames = [composed(f, 80, seed)[0] for seed, f in enumerate(heads["lbax4n"][::15])]
    together = detector.detect(frames)
    alone = [detector.detect([frame])[0] for frame in frames]
    backwards = detector.detect(frames[::-1])[::-1]
    assert together == alone == backwards and all(together)


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_a_moving_real_head_is_detected_near_the_last_box_as_everywhere(
    heads: dict[str, list[np.ndarray]], shared_data: Path, name: str
) -> None:
    detector = get_detector(Shards(detector=name), Settings(weights=shared_data / "weights"))
    for clip in CLIPS:
        frames, noise = [], np.random.default_rng(3).normal(90, 6, (240, 360, 3)).astype(np.uint8)
        for step, frame in enumerate(heads[clip][::6]):
            # A face of 40 pixels that crosses the picture at 6 pixels a look, four times a second.
            picture = noise.copy()
            picture[100:180, 20 + 6 * step : 120 + 6 * step] = resize(frame, width_px=100, height_px=80)
            frames.append(picture)
        every, near = (search(detector, frames, roi=roi, min_score=0.5) for roi in (0.0, 3.0))
        assert near == search(detector, frames, roi=3.0, min_score=0.5)
        for one, other in zip(every.boxes, near.boxes, strict=True):
            assert np.hypot(*np.subtract(middle(one[0]), middle(other[0]))) < 4.0
            assert 0.8 < (one[0].right - one[0].left) / (other[0].right - other[0].left) < 1.25


def test_a_real_face_that_sits_still_does_not_jitter(heads: dict[str, list[np.ndarray]], detector: Detector) -> None:
    for name in CLIPS:
        # The same picture throughout, under fresh noise: what moves is the detector's doing.
        still = [composed(heads[name][0], 80, 7)[0] for _ in range(6)]
        noise = np.random.default_rng(1)
        noisy = [np.clip(p + noise.normal(0, 4, p.shape), 0, 255).astype(np.uint8) for p in still]
        detections = dict(zip(range(0, 36, 6), detector.detect(noisy), strict=True))
        face_track = track(detections, [i / 30 for i in range(31)], width_px=360, height_px=240, params=Shards())
        places = np.array([(*middle(box), box.right - box.left) for box in face_track.boxes if box])
        assert len(places) == 31 and np.abs(np.diff(places, axis=0)).max() < 1.0


@pytest.mark.parametrize(
    ("name", "first", "last"), [("face_noface.mov", True, False), ("noface_face.mov", False, True)]
)
def test_a_face_that_leaves_or_comes_is_missing_while_it_is_not_there(
    shared_data: Path, name: str, first: bool, last: bool
) -> None:
    haar = get_detector(Shards(), Settings())
    frames = [resize(f, width_px=480, height_px=270) for f in decode_frames(shared_data / "clips" / name)]
    looked = list(range(0, len(frames), 6))
    detections = dict(zip(looked, haar.detect([frames[i] for i in looked]), strict=True))
    face_track = track(detections, [i / 26 for i in range(len(frames))], width_px=480, height_px=270, params=Shards())
    there = [box is not None for box in face_track.boxes]
    assert (there[10], there[-40]) == (first, last)
    assert {r for r, t in zip(face_track.reasons, there, strict=True) if not t} == {"no_face"}
