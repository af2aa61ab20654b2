"""One face, cut out of its picture: a square of fixed size, whatever the box."""

from __future__ import annotations

import numpy as np

from foalnet.media import resize
from foalnet.records import Box

# A window larger than this many pictures shows nothing more; the limit keeps a mad box from eating the memory.
MAX_WINDOW = 2


def crop(frame_HWC: np.ndarray, box: Box, *, size_px: int, margin: float) -> np.ndarray:
    """Return [size_px, size_px, 3] uint8: the square around a box, with `margin` of its larger side added on each side.

    Where the square leaves the picture, the picture's edge pixels are repeated outward (no black edge that a network
    could learn from). Shrunk by area means, enlarged linearly.
    """
    height, width = frame_HWC.shape[:2]
    largest = MAX_WINDOW * max(height, width)
    side = max(box.right - box.left, box.bottom - box.top) * (1.0 + 2.0 * margin)
    side_px = round(min(max(side, 1.0), largest))
    x = min(max((box.left + box.right) / 2, 0.0), float(width))
    y = min(max((box.top + box.bottom) / 2, 0.0), float(height))
    rows = np.clip(np.arange(side_px) + round(y - side_px / 2), 0, height - 1)
    columns = np.clip(np.arange(side_px) + round(x - side_px / 2), 0, width - 1)
    return resize(frame_HWC[rows[:, None], columns], width_px=size_px, height_px=size_px)
