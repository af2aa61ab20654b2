"""`blazeface`, `blazeface_back`: face-alignment's BlazeFace, fed square tiles.

The network sees a square of 128 (back: 256) pixels; face-alignment gives it the centre of a picture and nothing of
its sides. Here the picture is covered by overlapping square tiles of several sizes, so that every face from
`min_face_px` to the picture's height lies whole in some tile and fills at least MIN_SHARE of it; the tiles' boxes are
then merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces.base import best_first
from foalnet.faces.weights import WeightFile, find_weights
from foalnet.files import content_key
from foalnet.media import resize
from foalnet.records import Box

# On four real talking heads the front net found the face in 32 of 32 frames from a tenth of the tile up; a fifth
# leaves room for poorer pictures.
MIN_SHARE = 0.2
# Two boxes are one face where they share this much of the smaller one.
MERGE_SHARE = 0.5
# A face whose centre is this near to an edge of its tile (share of the tile) is seen better by the next tile.
EDGE_SHARE = 0.15

_ORIGIN = "the GitHub repository hollance/BlazeFace-PyTorch (Apache-2.0)"
_ANCHORS = "a10bb2fb93ab54ca426d6c750bfc3aad685028a16dcf231357d03694f261fd95"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One of the two published networks: its files and the side of its input."""

    weights: WeightFile
    anchors: WeightFile
    input_px: int
    back: bool


FRONT = Model(
    weights=WeightFile(
        name="blazeface.pth",
        sha256="54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4",
        origin=_ORIGIN,
    ),
    anchors=WeightFile(name="anchors.npy", sha256=_ANCHORS, origin=_ORIGIN),
    input_px=128,
    back=False,
)
BACK = Model(
    weights=WeightFile(
        name="blazefaceback.pth",
        sha256="e2c03bb3ae45e769eaaa0a7cc7d4f61f54a5e3fbae6367d870166702e7022b11",
        origin=_ORIGIN,
    ),
    anchors=WeightFile(name="anchorsback.npy", sha256=_ANCHORS, origin=_ORIGIN),
    input_px=256,
    back=True,
)

Tile = tuple[int, int, int]


class BlazeFaceDetector:
    """Finds faces in tiles of each frame; a frame's tiles are a batch of their own, so neighbours change nothing."""

    def __init__(self, model: Model, *, min_face_px: int, min_score: float, settings: Settings) -> None:
        self.name = "blazeface_back" if model.back else "blazeface"
        self._model = model
        self._min_face_px = min_face_px
        self._min_score = min_score
        # Looked up at once: a missing file must stop a run before its first dialogue.
        self._weights_path = find_weights(model.weights, settings)
        self._anchors_path = find_weights(model.anchors, settings)

    def digest(self) -> str:
        """Return a SHA-256 over the weight files' digests and the settings."""
        return content_key(
            {
                "anchors": self._model.anchors.sha256,
                "edge_share": EDGE_SHARE,
                "merge_share": MERGE_SHARE,
                "min_face_px": self._min_face_px,
                "min_score": self._min_score,
                "min_share": MIN_SHARE,
                "weights": self._model.weights.sha256,
            }
        )

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the faces of each frame [H, W, 3] uint8 RGB, best first."""
        return [self._one(frame_HWC) for frame_HWC in frames]

    @cached_property
    def _net(self) -> Any:
        from face_alignment.detection.blazeface import FaceDetector

        # With both paths given nothing is fetched, and the weights are read by torch's safe loader (weights_only).
        return FaceDetector(
            "cpu",
            back_model=self._model.back,
            path_to_detector=str(self._weights_path),
            path_to_anchor=str(self._anchors_path),
            min_score_thresh=self._min_score,
        )

    def _one(self, frame_HWC: np.ndarray) -> list[Box]:
        height, width = frame_HWC.shape[:2]
        tiles = square_tiles(width, height, self._min_face_px)
        side = self._model.input_px
        inputs_TCHW = np.stack(
            [
                resize(frame_HWC[top : top + size, left : left + size], width_px=side, height_px=side)
                for left, top, size in tiles
            ]
        ).transpose(0, 3, 1, 2)
        found: list[Box] = []
        for tile, rows in zip(tiles, self._net.detect_from_batch(inputs_TCHW), strict=True):
            boxes = (_in_frame(row, tile, side) for row in np.asarray(rows, dtype=np.float64).reshape(-1, 5))
            found += [box for box in boxes if not _cut_off(box, tile, width, height)]
        large_enough = [box for box in found if box.bottom - box.top >= self._min_face_px / 2]
        return merge(large_enough)


def square_tiles(width_px: int, height_px: int, min_face_px: int) -> list[Tile]:
    """Return (left, top, size) of the tiles: the largest square, then halves of it down to min_face_px / MIN_SHARE.

    The largest overlap by three quarters, the smaller ones by half: a face of up to half a tile lies whole in one.
    """
    size, step_share, tiles = min(width_px, height_px), 4, []
    while True:
        for top in _starts(height_px, size, size // step_share):
            tiles += [(left, top, size) for left in _starts(width_px, size, size // step_share)]
        if size * MIN_SHARE <= min_face_px:
            return tiles
        size, step_share = max(size // 2, 1), 2


def _starts(length: int, size: int, step: int) -> list[int]:
    """Return evenly spread tile positions, no further apart than step, that cover 0 to length."""
    count = 1 + -(-(length - size) // max(step, 1))
    return [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]


def _in_frame(row: np.ndarray, tile: Tile, side_px: int) -> Box:
    """Turn a net's row (left, top, right, bottom in its input, score) into a box of the frame."""
    left, top, size = tile
    scale = size / side_px
    return Box(
        left=float(left + row[0] * scale),
        top=float(top + row[1] * scale),
        right=float(left + row[2] * scale),
        bottom=float(top + row[3] * scale),
        score=float(min(row[4], 1.0)),
    )


def _cut_off(box: Box, tile: Tile, width_px: int, height_px: int) -> bool:
    """Return whether a box's centre lies at an edge of its tile that is not an edge of the picture."""
    left, top, size = tile
    x, y, edge = (box.left + box.right) / 2, (box.top + box.bottom) / 2, EDGE_SHARE * size
    return (
        (left > 0 and x < left + edge)
        or (top > 0 and y < top + edge)
        or (left + size < width_px and x > left + size - edge)
        or (top + size < height_px and y > top + size - edge)
    )


def merge(boxes: Sequence[Box]) -> list[Box]:
    """Return one box a face: the best of each heap of overlapping boxes, best first."""
    kept: list[Box] = []
    for box in best_first(boxes):
        if all(_shared(box, other) < MERGE_SHARE for other in kept):
            kept.append(box)
    return kept


def _shared(one: Box, other: Box) -> float:
    """Return the overlap of two boxes as a share of the smaller one."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((box.right - box.left) * (box.bottom - box.top) for box in (one, other))
    return width * height / smaller if smaller > 0 else 0.0


def make_front(params: Shards, settings: Settings) -> BlazeFaceDetector:
    """Build the front-camera network (0.4 MB, input 128)."""
    return BlazeFaceDetector(FRONT, min_face_px=params.min_face_px, min_score=params.detector_score, settings=settings)


def make_back(params: Shards, settings: Settings) -> BlazeFaceDetector:
    """Build the back-camera network (0.6 MB, input 256)."""
    return BlazeFaceDetector(BACK, min_face_px=params.min_face_px, min_score=params.detector_score, settings=settings)
