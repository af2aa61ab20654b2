"""How much each place of a two-actor picture moves: differences of small pictures of frames that are decoded anyway.

Every second frame is looked at: lips move with the syllables, some four times a second. What is kept of a pair of
looks is a grid of small numbers, so that the mouths may be told later, when the faces are known.

Shapes: K pairs of looks, R rows and C columns of the grid of one half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foalnet.core.records import Box, Side

EVERY = 2
# Of an endless video the first hour tells where the actors sit; it also bounds the memory (150 MB).
LONGEST_S = 3600.0
# In IEMOCAP's picture a cell is 8 x 8 pixels, a mouth two or three of them.
ROWS, COLUMNS = 30, 45
# A cell is so many pixels of the small picture on each side; their differences are added, not averaged to a round zero.
FINE = 2
MOST = 255


class Motion:
    """Looks at the frames of one video as they pass, and answers afterwards how much an area moved between looks.

    `times_s`: presentation stamps of all frames of the video.
    """

    def __init__(self) -> None:
        self.times_s: Sequence[float] = ()
        self._last: tuple[int, np.ndarray] | None = None
        self._pairs: list[tuple[int, int]] = []
        self._grids: list[np.ndarray] = []
        self._picture = (1, 0, 1)

    def watch(self, index: int, luma_HW: np.ndarray, top: int) -> None:
        """Look at a frame's brightness [H, W] uint8, which begins at row `top` of the source picture; indices rise."""
        if index % EVERY or self.times_s[index] - self.times_s[0] > LONGEST_S:
            return
        import cv2

        self._picture = (luma_HW.shape[1], top, top + luma_HW.shape[0])
        size = (2 * COLUMNS * FINE, ROWS * FINE)
        # Every second row and column: to read it all would cost more than all the rest.
        quarter = np.ascontiguousarray(luma_HW[::2, ::2])
        small = cv2.resize(quarter, size, interpolation=cv2.INTER_AREA)
        if self._last is not None and self._last[0] == index - EVERY:
            self._pairs.append((self._last[0], index))
            self._grids.append(_cells(cv2.absdiff(small, self._last[1])))
        self._last = (index, small)

    def looks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the times (s) of the first and of the second look of every pair, each [K]."""
        times_F = np.asarray(self.times_s, dtype=np.float64)
        pairs_K2 = np.asarray(self._pairs, dtype=np.int64).reshape(-1, 2)
        return times_F[pairs_K2[:, 0]], times_F[pairs_K2[:, 1]]

    def of(self, side: Side, area: Box | None, pairs: slice) -> np.ndarray:
        """Return how much an area (pixels of the source picture) of a half moved between looks, [K of `pairs`].

        None is the whole half. At least one cell is taken: the one nearest to the area's middle.
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
    """Add up a small picture of differences over the cells, [R, 2 C] uint8; more than MOST counts as MOST."""
    wide = moved.astype(np.uint16)
    rows = sum((wide[i::FINE] for i in range(1, FINE)), start=wide[0::FINE])
    cells = sum((rows[:, i::FINE] for i in range(1, FINE)), start=rows[:, 0::FINE])
    return np.minimum(cells, MOST).astype(np.uint8)


def _span(low: float, high: float, count: int) -> slice:
    """Return the cells whose middles lie between two places, or the one nearest to their middle."""
    first, last = int(np.ceil(low - 0.5)), int(np.floor(high - 0.5))
    if first > last:
        first = last = int(np.floor((low + high) / 2))
    first = min(max(first, 0), count - 1)
    return slice(first, min(max(last, first), count - 1) + 1)
