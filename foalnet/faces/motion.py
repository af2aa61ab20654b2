"""Measures how much each part of a two-actor picture moves, from small copies of the frames that staging decodes.

It uses every second frame (a look): lips move with the syllables, about four times a second. It stores a grid of small
numbers per pair of looks, so that the motion of a mouth can be read later, when the face's position is known.

Shapes: K pairs of looks, R rows and C columns of the grid of one half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foalnet.core.records import Box, Side

EVERY = 2
# The first hour of a video shows where the actors sit; the limit also bounds the memory (150 MB).
LONGEST_S = 3600.0
# In IEMOCAP's picture a cell is 8 x 8 pixels, a mouth two or three of them.
ROWS, COLUMNS = 30, 45
# A cell has this many pixels of the small picture per side; their differences are added, as a mean could round to zero.
FINE = 2
MOST = 255


class Motion:
    """Receives the frames of one video and then returns how much an area moved between looks.

    `times_s`: presentation stamps of all frames of the video.
    """

    def __init__(self) -> None:
        self.times_s: Sequence[float] = ()
        self._last: tuple[int, np.ndarray] | None = None
        self._pairs: list[tuple[int, int]] = []
        self._grids: list[np.ndarray] = []
        self._picture = (1, 0, 1)

    def watch(self, index: int, luma_HW: np.ndarray, top: int) -> None:
        """Add a frame's brightness [H, W] uint8 from row `top` of the source picture; call with ascending indices."""
        if index % EVERY or self.times_s[index] - self.times_s[0] > LONGEST_S:
            return
        import cv2

        self._picture = (luma_HW.shape[1], top, top + luma_HW.shape[0])
        size = (2 * COLUMNS * FINE, ROWS * FINE)
        # Every second row and column: reading all of them would cost more than the rest of this method.
        quarter = np.ascontiguousarray(luma_HW[::2, ::2])
        small = cv2.resize(quarter, size, interpolation=cv2.INTER_AREA)
        if self._last is not None and self._last[0] == index - EVERY:
            self._pairs.append((self._last[0], index))
            self._grids.append(_cells(cv2.absdiff(small, self._last[1])))
        self._last = (index, small)

    def looks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the times (s) of the first and second look of each pair, each [K]."""
        times_F = np.asarray(self.times_s, dtype=np.float64)
        pairs_K2 = np.asarray(self._pairs, dtype=np.int64).reshape(-1, 2)
        return times_F[pairs_K2[:, 0]], times_F[pairs_K2[:, 1]]

    def of(self, side: Side, area: Box | None, pairs: slice) -> np.ndarray:
        """Return how much an area (pixels of the source picture) of a half moved between looks, [K of `pairs`].

        `area` None means the whole half. The result uses at least one cell, the one nearest to the area's middle.
        """
        grids_KRC = np.stack(self._grids[pairs]) if self._grids[pairs] else np.zeros((0, ROWS, 2 * COLUMNS), np.uint8)
        half_KRC = grids_KRC[:, :, :COLUMNS] if side == "left" else grids_KRC[:, :, COLUMNS:]
        if area is None:
            return half_KRC.mean(axis=(1, 2))
        width, top, bottom = self._picture
        x_scale, y_scale = 2 * COLUMNS / width, ROWS / (bottom - top)
        first = 0 if side == "left" else COLUMNS
        columns = _span(area.left * x_scale - first, area.right * x_scale - first, COLUMNS)
        rows = _span((area.top - top) * y_scale, (area.bottom - top) * y_scale, ROWS)
        return half_KRC[:, rows, columns].mean(axis=(1, 2))


def _cells(moved: np.ndarray) -> np.ndarray:
    """Return the sums of a small difference picture over the cells, [R, 2 C] uint8, limited to MOST."""
    wide = moved.astype(np.uint16)
    rows = sum((wide[i::FINE] for i in range(1, FINE)), start=wide[0::FINE])
    cells = sum((rows[:, i::FINE] for i in range(1, FINE)), start=rows[:, 0::FINE])
    return np.minimum(cells, MOST).astype(np.uint8)


def _span(low: float, high: float, count: int) -> slice:
    """Return the cells with middles between `low` and `high`, or else the cell nearest to the middle of the two."""
    first, last = int(np.ceil(low - 0.5)), int(np.floor(high - 0.5))
    if first > last:
        first = last = int(np.floor((low + high) / 2))
    first = min(max(first, 0), count - 1)
    return slice(first, min(max(last, first), count - 1) + 1)
