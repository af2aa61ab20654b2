"""The face's window from a detector's box, and faces in the dark."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces import crop, get_detector, haar, window
from foalnet.faces.base import Fit

FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_a_fit_scales_about_the_middle_and_moves_down_by_a_share_of_the_detectors_height() -> None:
    box = Box(left=10, top=20, right=50, bottom=60, score=0.7)
    assert Fit(width=0.5, height=1.5, down=0.1).face(box) == Box(left=20, top=14, right=40, bottom=74, score=0.7)
    assert Fit(width=1.0, height=1.0).face(box) == box


def test_a_detectors_fit_is_part_of_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_detector(Shards(), Settings()).digest()
    monkeypatch.setattr(haar, "FIT", Fit(width=1.0, height=1.0))
    assert get_detector(Shards(), Settings()).digest() != before


def test_a_dark_picture_is_brightened_by_one_factor_and_a_bright_one_left_alone() -> None:
    dark_HW = np.full((40, 50), 20, np.uint8)
    dark_HW[:10, :10] = 40
    bright_HW = haar.brightened(dark_HW)
    assert bright_HW[0, 0] == haar.BRIGHT and bright_HW[-1, -1] == haar.BRIGHT // 2
    assert haar.brightened(bright_HW) is bright_HW
    assert not haar.brightened(np.zeros((40, 50), np.uint8)).any()
    # One lamp, less than a hundredth of the picture, does not make a dark picture bright.
    dark_HW[20, :15] = 255
    assert haar.brightened(dark_HW)[-1, -1] == haar.BRIGHT // 2


@pytest.mark.parametrize(
    "box",
    [
        Box(left=20, top=10, right=31, bottom=24),
        Box(left=-6, top=-9, right=5, bottom=3),
        Box(left=50, top=30, right=90, bottom=70),
    ],
)
def test_a_crop_shows_the_stated_window(box: Box) -> None:
    left, top, side = window(box, width_px=64, height_px=48, margin=0.3)
    rows, columns = (np.clip(np.arange(side) + first, 0, last) for first, last in ((top, 47), (left, 63)))
    assert np.array_equal(crop(FRAME, box, size_px=side, margin=0.3), FRAME[np.ix_(rows, columns)])
