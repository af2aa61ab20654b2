"""A crop has its size for any box, and shows the middle of the box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.records import Box
from foalnet.faces import crop
from tests.support.marks import red_when

FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@red_when("faces/crop.py", "the crop is as wide as the box")
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(1, 96), st.floats(0, 3))
def test_t53_any_box_gives_a_picture_of_the_requested_size(
    left: float, top: float, right: float, bottom: float, size_px: int, margin: float
) -> None:
    out = crop(FRAME, Box(left=left, top=top, right=right, bottom=bottom), size_px=size_px, margin=margin)
    assert out.shape == (size_px, size_px, 3) and out.dtype == np.uint8


def test_a_box_of_the_crops_own_size_is_copied_exactly() -> None:
    out = crop(FRAME, Box(left=10, top=20, right=26, bottom=36), size_px=16, margin=0.0)
    assert np.array_equal(out, FRAME[20:36, 10:26])


def test_the_margin_is_added_on_each_side_of_the_larger_side() -> None:
    out = crop(FRAME, Box(left=20, top=22, right=30, bottom=26), size_px=20, margin=0.5)
    assert np.array_equal(out, FRAME[14:34, 15:35])


@red_when("faces/crop.py", "what lies outside the picture is black")
@pytest.mark.parametrize(
    ("box", "edge"),
    [
        (Box(left=-8, top=10, right=8, bottom=26), (slice(None), slice(0, 8), FRAME[10:26, :1])),
        (Box(left=56, top=10, right=72, bottom=26), (slice(None), slice(8, 16), FRAME[10:26, -1:])),
        (Box(left=10, top=-8, right=26, bottom=8), (slice(0, 8), slice(None), FRAME[:1, 10:26])),
        (Box(left=10, top=40, right=26, bottom=56), (slice(8, 16), slice(None), FRAME[-1:, 10:26])),
    ],
)
def test_t53_a_face_at_the_border_is_padded_with_the_pictures_edge(
    box: Box, edge: tuple[slice, slice, np.ndarray]
) -> None:
    rows, columns, pixels = edge
    out = crop(FRAME, box, size_px=16, margin=0.0)
    assert np.array_equal(out[rows, columns], np.broadcast_to(pixels, out[rows, columns].shape))


def test_a_large_face_shrinks_by_area_means() -> None:
    checks = np.zeros((64, 64, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 200
    out = crop(checks, Box(left=0, top=0, right=64, bottom=64), size_px=16, margin=0.0)
    assert np.abs(out.astype(int) - 100).max() <= 1
