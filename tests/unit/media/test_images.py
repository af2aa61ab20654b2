"""Pictures: the same bytes for the same picture, exact sizes, the edges of black bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError
from foalnet.media import brightness, jpeg_bytes, letterbox_rows, read_jpeg, rescale, resize
from tests.support.corpus.videos import numbered


def random_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(60, 220, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]


def boxed(top: int, bottom: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed + 99).integers(0, 14, (height, 120, 3)).astype(np.uint8)
    noise[top:bottom] = random_picture(bottom - top, 120, seed)
    return noise


def test_a_jpeg_is_the_same_every_time_and_keeps_its_colours() -> None:
    picture = numbered(5)
    data = jpeg_bytes(picture, 92)
    assert data == jpeg_bytes(picture.copy(), 92) != jpeg_bytes(picture, 50)
    back = read_jpeg(data)
    assert back.shape == picture.shape and np.abs(back.astype(int) - picture).mean() < 8
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(read_jpeg(jpeg_bytes(red, 92)).astype(int) - red).max() <= 4


def test_a_jpeg_is_baseline_with_halved_chroma() -> None:
    data = jpeg_bytes(numbered(1), 92)
    frame = data.index(b"\xff\xc0")
    assert b"\xff\xc2" not in data, "progressive"
    assert data[frame + 11] == 0x22, "luma sampling 2 x 2: 4:2:0"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"abc", jpeg_bytes(numbered(1), 92)[:-9]])
def test_bytes_that_are_no_whole_jpeg_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        read_jpeg(data)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.integers(1, 70))
def test_resize_gives_the_requested_size(height: int, width: int, to_height: int, to_width: int) -> None:
    picture = np.full((height, width, 3), (10, 100, 200), np.uint8)
    for scale in (resize, rescale):
        out = scale(picture, width_px=to_width, height_px=to_height)
        assert out.shape == (to_height, to_width, 3) and out.dtype == np.uint8
        assert np.abs(out.astype(int) - np.array([10, 100, 200])).max() <= 1


def test_rescale_is_the_mean_of_neighbours_at_whole_halves_and_near_it_between() -> None:
    fine = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    means = fine.reshape(16, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(rescale(fine, width_px=24, height_px=16) - means).max() <= 1.5
    flat = fine.reshape(16, 4, 96, 3).mean(1)  # one way alone
    assert np.abs(rescale(fine, width_px=96, height_px=16) - flat).max() <= 1.5
    rows, columns = np.mgrid[:70, :70]
    smooth = np.stack([40 + rows + columns, 200 - rows, 90 + columns], 2).astype(np.uint8)
    actual, exact = (f(smooth, width_px=64, height_px=41).astype(int) for f in (rescale, resize))
    assert np.abs(actual - exact).max() <= 2


@given(st.integers(0, 90), st.integers(0, 90))
def test_the_bars_are_detected_to_the_row(top: int, below: int) -> None:
    frames = [boxed(top, 240 - below, 240, seed) for seed in range(3)]
    assert letterbox_rows([*map(brightness, frames)]) == (top, 240 - below)


def test_a_time_code_in_the_bar_and_one_flash_are_not_the_picture() -> None:
    frames = [boxed(60, 180, 240, seed) for seed in range(5)]
    for frame in frames:
        frame[10:15, :60] = 255
    frames[2][:] = 255
    assert letterbox_rows([*map(brightness, frames)]) == (60, 180)


def test_a_dark_picture_is_not_cropped() -> None:
    dark = np.zeros((240, 120, 3), np.uint8)
    assert letterbox_rows([brightness(dark)]) == (0, 240)
    dark[100:120] = 200
    assert letterbox_rows([brightness(dark)]) == (0, 240)


def test_a_dark_band_inside_the_picture_does_not_end_it() -> None:
    frame = boxed(40, 200, 240)
    frame[90:120] = 5
    assert letterbox_rows([brightness(frame)]) == (40, 200)


def test_no_frames_is_a_callers_fault() -> None:
    with pytest.raises(ValueError, match="at least one"):
        letterbox_rows([])
