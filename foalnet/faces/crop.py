"""Cuts one face out of its picture, as a square of fixed size whatever the box; `shards.margin` sets its margin."""

from __future__ import annotations

import numpy as np

from foalnet.core.records import Box
from foalnet.media import Picture, rescale

# A window's side is at most this many times the picture's larger side: an absurd box would exhaust the memory.
MAX_WINDOW = 2


def crop(frame: np.ndarray | Picture, box: Box, *, size_px: int, margin: float) -> np.ndarray:
    """Return [size_px, size_px, 3] uint8 RGB: the square around a box, `margin` of its larger side added on each side.

    `frame`: [H, W, 3] uint8 RGB, or a picture of which only the square is converted to RGB.
    Outside the picture the square repeats the picture's edge pixels, so that a network cannot learn from a black edge.
    `media.rescale` scales it.

    >>> frame = np.full((100, 100, 3), 127, np.uint8)
    >>> cut = crop(frame, Box(left=10, top=10, right=30, bottom=20), size_px=64, margin=0.5)
    >>> cut.shape, int(cut.min())  # above the picture its edge is repeated
    ((64, 64, 3), 127)
    """
    import cv2

    height, width = (frame.height_px, frame.width_px) if isinstance(frame, Picture) else frame.shape[:2]
    left, top, side = window(box, width_px=width, height_px=height, margin=margin)
    inside = (max(left, 0), max(top, 0), max(min(left + side, width), 1), max(min(top + side, height), 1))
    cut_HWC = frame.rgb(inside) if isinstance(frame, Picture) else frame[inside[1] : inside[3], inside[0] : inside[2]]
    beyond = (inside[1] - top, top + side - inside[3], inside[0] - left, left + side - inside[2])
    if any(beyond):
        cut_HWC = cv2.copyMakeBorder(cut_HWC, *beyond, borderType=cv2.BORDER_REPLICATE)
    return rescale(cut_HWC, width_px=size_px, height_px=size_px)


def window(box: Box, *, width_px: int, height_px: int, margin: float) -> tuple[int, int, int]:
    """Return left, top and side of the square around a box in whole pixels; it contains at least one picture pixel.

    >>> window(Box(left=10, top=10, right=30, bottom=20), width_px=100, height_px=100, margin=0.5)  # side 20 * 2
    (0, -5, 40)
    """
    largest = MAX_WINDOW * max(height_px, width_px)
    side = max(box.right - box.left, box.bottom - box.top) * (1.0 + 2.0 * margin)
    side_px = round(min(max(side, 1.0), largest))
    x = min(max((box.left + box.right) / 2, 0.0), float(width_px))
    y = min(max((box.top + box.bottom) / 2, 0.0), float(height_px))
    left, top = round(x - side_px / 2), round(y - side_px / 2)
    return min(left, width_px - 1), min(top, height_px - 1), side_px
