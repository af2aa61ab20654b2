"""Crops are the same bytes however many pictures a detector is shown at once: real heads, real detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from foalnet.clips.pictures import Pictures, cut_pictures
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError
from foalnet.core.records import Box
from foalnet.faces import Detector, get_detector
from foalnet.media import decode_frames, resize
from tests.support.corpus.rows import utterance
from tests.support.corpus.videos import write_avi
from tests.support.marks import red_when

FRAMES, RATE_FPS, STRIDE = 25, 25, 4
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def video(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of two people side by side under black bars, faces 40 pixels high, in noise."""
    heads = [list(decode_frames(shared_data / "clips" / f"{name}.mpg"))[:FRAMES] for name in ("bbaf2n", "brbk7n")]
    random = np.random.default_rng(2)
    pictures = []
    for index in range(FRAMES):
        frame = np.zeros((480, 720, 3), np.uint8)
        frame[120:360] = np.clip(90 + random.normal(0, 6, (240, 720, 3)), 0, 255).astype(np.uint8)
        for half, head in enumerate(heads):
            left = 360 * half + 100 + 2 * index
            frame[200:280, left : left + 100] = resize(head[index], width_px=100, height_px=80)
        pictures.append(frame)
    path = tmp_path_factory.mktemp("film") / "a.avi"
    write_avi(path, pictures, rate=str(RATE_FPS))
    return path


class InBatches:
    """A detector that shows its pictures to another one, `size` at a time, the last ones first where it is negative."""

    def __init__(self, detector: Detector, size: int) -> None:
        self.detector, self.size, self.name = detector, size, detector.name
        self.shown: list[int] = []

    def digest(self) -> str:
        return self.detector.digest()

    def weights(self) -> dict[str, str]:
        return self.detector.weights()

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        order = list(range(len(frames)))[:: 1 if self.size > 0 else -1]
        boxes: dict[int, list[Box]] = {}
        for start in range(0, len(order), abs(self.size)):
            part = order[start : start + abs(self.size)]
            self.shown.append(len(part))
            boxes |= dict(zip(part, self.detector.detect([frames[i] for i in part]), strict=True))
        return [boxes[i] for i in range(len(frames))]


def crops(path: Path, detector: Detector) -> dict[str, Pictures]:
    turns = [utterance(side, side=side, end_s=FRAMES / RATE_FPS) for side in SIDES]
    return cut_pictures(path, turns, params=Shards(stride=STRIDE), detector=detector, timeout_s=60.0)


@red_when("faces/haar.py", "the first picture of a call is answered for all of them", case="haar")
@red_when("faces/blazeface.py", "the first picture of a call is answered for all of them", case="blazeface")
@red_when("faces/yunet.py", "the first picture of a call is answered for all of them", case="yunet")
@pytest.mark.parametrize("name", ["haar", pytest.param("blazeface", marks=pytest.mark.long), "yunet", "sfd"])
def test_t56_crops_are_the_same_bytes_whatever_the_batch(name: str, video: Path, shared_data: Path) -> None:
    try:
        detector = get_detector(Shards(detector=name), Settings(device="cpu", weights=shared_data / "weights"))
    except MachineError as error:
        pytest.skip(f"the weight file of {name} is not in ../shared/data/weights: {error.file}")
    whole = crops(video, detector)
    for side in SIDES:
        cut = whole[side]
        assert all(cut.faces) and "missing" not in cut.track.sources, f"{name} must see the {side} head"
    for size in (1, 3, -2):
        parts = InBatches(detector, size)
        assert crops(video, parts) == whole
        assert max(parts.shown) == abs(size) and len(parts.shown) > 2
