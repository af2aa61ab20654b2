"""Decides where a detector searches the pictures of one utterance: everywhere, or first around the last face.

With `shards.roi` above 0 the detector first gets a region: a square around the last face, with a side of `roi` times
the larger side of its box. If it detects no face there, it gets the whole picture. Three rules keep the result close to
that of searching whole pictures:

- The picture before must have exactly one sure face. Of two faces only the track knows which is the speaker's.
- A box that the region's edge cuts is rejected, and the whole picture is searched.
- Every WHOLE_EVERY-th search covers the whole picture, so that a false box cannot hide a face for long.

Regions shorten detection alone, not decoding and cutting: most with blazeface, then yunet, then haar. They shorten
nothing if a face fills the picture. The default is 0, a search everywhere, because staging with the default detector
gains little. blazeface averages its scores over tiles: a region has fewer tiles, so it detects more false faces there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces.base import Detections, Detector, detect_all
from foalnet.media import Picture

# left, top, right, bottom in pixels
Region = tuple[int, int, int, int]

# A region's sides are multiples of this. A network pads its input to such a multiple, and OpenCV prepares a network
# once for each input size: few sizes, little work.
STEP_PX = 32
# If a region would cover more than this share of the picture, the whole picture is searched at once.
MOST_SHARE = 0.5
WHOLE_EVERY = 8
# A box closer to the region's edge than this share of its side may be only a part of a face.
EDGE_SHARE = 0.02


def search(detector: Detector, frames: Sequence[np.ndarray], *, roi: float, min_score: float) -> Detections:
    """Detect faces in the frames [H, W, 3] of one utterance in time order; boxes in each frame's pixels, best first.

    With `roi` 0 the detector gets all whole frames in one call. Otherwise it gets each frame alone, first the region
    around the face of the frame before; boxes of a region have at least `min_score`. `failed` is as in `detect_all`.
    """
    if roi == 0.0:
        return detect_all(detector, frames)
    answers: list[tuple[Box, ...]] = []
    failed: list[int] = []
    region: Region | None = None
    for index, frame_HWC in enumerate(frames):
        boxes = _near(detector, frame_HWC, region, min_score) if region and index % WHOLE_EVERY else ()
        if not boxes:
            whole = detect_all(detector, [frame_HWC])
            boxes = whole.boxes[0]
            if whole.failed:
                failed.append(index)
        answers.append(boxes)
        sure = [box for box in boxes if box.score >= min_score]
        region = around(sure[0], frame_HWC.shape[1], frame_HWC.shape[0], roi) if len(sure) == 1 else None
    return Detections(boxes=tuple(answers), failed=tuple(failed))


def detector_input(picture: Picture, params: Shards) -> np.ndarray:
    """Return the detector's input for a picture, [H, W, 3] RGB: scaled down to `search_rows` rows if it has more.

    `min_face_px` applies to the scaled picture; in the original the smallest face is larger by the same factor.
    """
    rows = params.search_rows
    if picture.height_px <= rows:
        return picture.rgb()
    height_px, width_px = rows - rows % 2, max(2, round(picture.width_px * rows / picture.height_px / 2) * 2)
    return picture.scaled(width_px=width_px, height_px=height_px).rgb()


def to_picture(box: Box, shape: Sequence[int], width_px: int, height_px: int) -> Box:
    """Return a box of a detector input of that shape ([H, W, 3]) in the pixels of its picture.

    >>> to_picture(Box(left=10, top=20, right=30, bottom=40), (240, 360, 3), width_px=720, height_px=480)
    Box(left=20.0, top=40.0, right=60.0, bottom=80.0, score=1.0)
    """
    if (height_px, width_px) == tuple(shape[:2]):
        return box
    x, y = width_px / shape[1], height_px / shape[0]
    return replace(box, left=box.left * x, top=box.top * y, right=box.right * x, bottom=box.bottom * y)


def around(box: Box, width_px: int, height_px: int, roi: float) -> Region | None:
    """Return the square of `roi` box sides around a box, moved into the picture; None if it covers most of it.

    >>> around(Box(left=150, top=150, right=160, bottom=160), width_px=360, height_px=240, roi=3.0)  # side 30, up to 32
    (139, 139, 171, 171)
    """
    side = max(box.right - box.left, box.bottom - box.top) * roi
    side_px = math.ceil(side / STEP_PX) * STEP_PX
    width, height = min(side_px, width_px), min(side_px, height_px)
    if width * height > MOST_SHARE * width_px * height_px:
        return None
    left = min(max(round((box.left + box.right - width) / 2), 0), width_px - width)
    top = min(max(round((box.top + box.bottom - height) / 2), 0), height_px - height)
    return left, top, left + width, top + height


def _near(detector: Detector, frame_HWC: np.ndarray, region: Region, min_score: float) -> tuple[Box, ...]:
    """Return the boxes of a region with at least `min_score`, in the frame's pixels.

    () if there is none, if the region's edge cuts one, or if the detector failed.
    """
    left, top, right, bottom = region
    answer = detect_all(detector, [np.ascontiguousarray(frame_HWC[top:bottom, left:right])])
    boxes = [box for box in answer.boxes[0] if box.score >= min_score]
    if answer.failed or any(_cut(box, region, frame_HWC) for box in boxes):
        return ()
    return tuple(
        replace(box, left=box.left + left, top=box.top + top, right=box.right + left, bottom=box.bottom + top)
        for box in boxes
    )


def _cut(box: Box, region: Region, frame_HWC: np.ndarray) -> bool:
    """Tell whether the region's edge inside the picture cuts a box."""
    left, top, right, bottom = region
    slack = EDGE_SHARE * max(box.right - box.left, box.bottom - box.top)
    height, width = frame_HWC.shape[:2]
    return (
        (left > 0 and box.left < slack)
        or (top > 0 and box.top < slack)
        or (right < width and box.right > right - left - slack)
        or (bottom < height and box.bottom > bottom - top - slack)
    )
