"""`blazeface`: face-alignment's BlazeFace (front-camera model), fed square tiles.

The network's input is a square of 128 pixels; face-alignment feeds it the centre of a picture and ignores the sides.
This detector covers the picture with overlapping square tiles of several sizes, so that every face from `min_face_px`
to the picture's height is complete in several of them. At that resolution the network also detects faces in cloth and
walls; but every tile that shows a real face detects it, and few tiles detect a chance pattern. A box's score is
therefore the mean of its scores over all tiles that show it completely, with 0 for a tile without a detection.

Its boxes are squares from the brows to the chin. FIT turns all of them into faces by one rule (width x 0.88, height
x 1.21, up by 0.14 of the height), half way between the optimum for drawn faces and for four real
heads (docs/staging.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.files import content_key
from foalnet.core.records import Box
from foalnet.core.shim import one_torch_thread
from foalnet.faces.base import Fit, best_first
from foalnet.faces.weights import WeightFile, find_weights
from foalnet.media import resize

# The smallest face fills at least this share of the smallest tiles; the network still detects real heads below it.
MIN_SHARE = 0.15
# A tile counts for a box that fills a share of it between these two,
SEEN_SHARES = (0.12, 0.9)
# and extends beyond it by at most this share of the box.
SLACK = 0.1
# The network itself classifies a window with a lower score as background.
NET_SCORE = 0.5
# Boxes of several tiles are the same face if their intersection over union is at least SAME; two different faces
# overlap by less than MERGE_SHARE of the smaller one.
SAME = 0.4
MERGE_SHARE = 0.5
FIT = Fit(width=0.88, height=1.21, down=-0.14)

_ORIGIN = "the GitHub repository hollance/BlazeFace-PyTorch (Apache-2.0)"
_ADDRESS = "https://github.com/hollance/BlazeFace-PyTorch/raw/master"
WEIGHTS = WeightFile(
    name="blazeface.pth",
    detector="blazeface",
    sha256="54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4",
    origin=_ORIGIN,
    address=f"{_ADDRESS}/blazeface.pth",
)
ANCHORS = WeightFile(
    name="anchors.npy",
    detector="blazeface",
    sha256="a10bb2fb93ab54ca426d6c750bfc3aad685028a16dcf231357d03694f261fd95",
    origin=_ORIGIN,
    address=f"{_ADDRESS}/anchors.npy",
)
INPUT_PX = 128

Tile = tuple[int, int, int]


class BlazeFaceDetector:
    """Detects faces in tiles of each frame; a frame's tiles are one batch, so other frames do not affect its boxes."""

    name = "blazeface"

    def __init__(self, *, min_face_px: int, min_score: float, settings: Settings) -> None:
        self._min_face_px = min_face_px
        self._min_score = min_score
        # Checked at once: a missing file must stop a run before its first dialogue.
        self._weights_path = find_weights(WEIGHTS, settings)
        self._anchors_path = find_weights(ANCHORS, settings)

    def digest(self) -> str:
        """Return a SHA-256 over the weight files' digests and the settings."""
        return content_key(
            {
                "anchors": ANCHORS.sha256,
                "fit": FIT.rules(),
                "min_face_px": self._min_face_px,
                "min_score": self._min_score,
                "rules": [MIN_SHARE, *SEEN_SHARES, SLACK, NET_SCORE, SAME, MERGE_SHARE],
                "weights": WEIGHTS.sha256,
            }
        )

    def weights(self) -> dict[str, str]:
        """Return name and SHA-256 of weights and anchors."""
        return {file.name: file.sha256 for file in (WEIGHTS, ANCHORS)}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the faces of each frame [H, W, 3] uint8 RGB, best first."""
        with one_torch_thread():
            return [self._detect_in(frame_HWC) for frame_HWC in frames]

    @cached_property
    def _net(self) -> Any:
        from face_alignment.detection.blazeface import FaceDetector

        # With both paths given it downloads nothing, and it reads the weights by torch's safe loader (weights_only).
        return FaceDetector(
            "cpu",
            path_to_detector=str(self._weights_path),
            path_to_anchor=str(self._anchors_path),
            min_score_thresh=NET_SCORE,
        )

    def _detect_in(self, frame_HWC: np.ndarray) -> list[Box]:
        height, width = frame_HWC.shape[:2]
        tiles = square_tiles(width, height, self._min_face_px)
        side = INPUT_PX
        inputs_TCHW = np.stack(
            [
                resize(frame_HWC[top : top + size, left : left + size], width_px=side, height_px=side)
                for left, top, size in tiles
            ]
        ).transpose(0, 3, 1, 2)
        boxes: list[Box] = []
        for tile, rows in zip(tiles, self._net.detect_from_batch(inputs_TCHW), strict=True):
            in_tile = (_in_frame(row, tile, side) for row in np.asarray(rows, dtype=np.float64).reshape(-1, 5))
            boxes += [box for box in in_tile if _shows(tile, box)]
        return [
            FIT.face(box)
            for box in merged(boxes, tiles)
            if box.score >= self._min_score and box.bottom - box.top >= self._min_face_px / 2
        ]


def square_tiles(width_px: int, height_px: int, min_face_px: int) -> list[Tile]:
    """Return (left, top, size) of the tiles: the largest square, then halves of it down to min_face_px / MIN_SHARE.

    The largest tiles overlap by three quarters, the others by half: a face of up to half a tile is complete in one.
    """
    size, step_share, tiles = min(width_px, height_px), 4, []
    while True:
        for top in _starts(height_px, size, size // step_share):
            tiles += [(left, top, size) for left in _starts(width_px, size, size // step_share)]
        if size * MIN_SHARE <= min_face_px:
            return tiles
        size, step_share = max(size // 2, 1), 2


def _starts(length: int, size: int, step: int) -> list[int]:
    """Return evenly spaced tile positions, at most `step` apart, that cover 0 to `length`."""
    count = 1 + -(-(length - size) // max(step, 1))
    return [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]


def _in_frame(row: np.ndarray, tile: Tile, side_px: int) -> Box:
    """Return the frame's box for a row of the network (left, top, right, bottom in its input, score)."""
    left, top, size = tile
    scale = size / side_px
    return Box(
        left=float(left + row[0] * scale),
        top=float(top + row[1] * scale),
        right=float(left + row[2] * scale),
        bottom=float(top + row[3] * scale),
        score=float(min(row[4], 1.0)),
    )


def _shows(tile: Tile, box: Box) -> bool:
    """Tell whether a tile shows a box completely and at a size that the network can detect."""
    left, top, size = tile
    side = max(box.right - box.left, box.bottom - box.top)
    slack = SLACK * side
    return (
        SEEN_SHARES[0] <= side / size <= SEEN_SHARES[1]
        and left - slack <= box.left
        and top - slack <= box.top
        and box.right <= left + size + slack
        and box.bottom <= top + size + slack
    )


def merged(boxes: Sequence[Box], tiles: Sequence[Tile]) -> list[Box]:
    """Return one box per face, best first: position and score are means over the tiles' boxes and over all tiles."""
    groups: list[list[Box]] = []
    for box in best_first(boxes):
        group = next((group for group in groups if _overlap(group[0], box)[0] >= SAME), None)
        if group is None:
            groups.append([box])
        else:
            group.append(box)
    faces: list[Box] = []
    for face in best_first(_mean(group, tiles) for group in groups):
        if all(_overlap(face, other)[1] < MERGE_SHARE for other in faces):
            faces.append(face)
    return faces


def _mean(group: Sequence[Box], tiles: Sequence[Tile]) -> Box:
    weight = np.array([box.score for box in group])
    places = np.array([(box.left, box.top, box.right, box.bottom) for box in group])
    left, top, right, bottom = (float(value) for value in weight @ places / weight.sum())
    face = Box(left=left, top=top, right=right, bottom=bottom)
    voters = max(sum(_shows(tile, face) for tile in tiles), len(group))
    return replace(face, score=float(weight.sum() / voters))


def _overlap(one: Box, other: Box) -> tuple[float, float]:
    """Return the overlap of two boxes as a share of their union and of the smaller one."""
    width = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    height = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    common = width * height
    if common <= 0.0:
        return 0.0, 0.0
    return common / (sum(areas) - common), common / min(areas)


def make_blazeface(params: Shards, settings: Settings) -> BlazeFaceDetector:
    """Build the detector (0.4 MB of weights); MachineError (exit 4) if a file is missing or its digest differs."""
    return BlazeFaceDetector(min_face_px=params.min_face_px, min_score=params.detector_score, settings=settings)
