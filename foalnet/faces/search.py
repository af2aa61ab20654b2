"""Where in the pictures of one utterance a detector looks: everywhere, or first around where the face was last.

Around means: in a region whose side is `roi` times the last box's, the whole picture where nothing is found there. The
rule keeps to what a look at the whole picture would have said: it narrows the search only after a look that found
exactly one face (of two people the track decides, not this), a box that the region's edge cuts is not believed, and
every WHOLE_EVERY-th look goes everywhere again, so that a chance box in the background cannot hide a face for long.

What it saves is detection alone: most with blazeface, then yunet, then haar, nothing where a face fills the picture.
Decoding and cutting cost the same either way, so a whole staging with the default detector gains little, and the
default is to look everywhere; with yunet on a long corpus `roi` pays. blazeface, whose tiles vote, has fewer votes in a
region and takes more chance patterns for faces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces.base import Detector, Found, find_faces
from foalnet.media import Picture

# left, top, right, bottom in pixels
Region = tuple[int, int, int, int]

# A region's sides are multiples of this: networks pad to it, and one size for many looks spares them new plans.
STEP_PX = 32
# A region that covers more of the picture saves too little to risk looking twice.
MOST_SHARE = 0.5
WHOLE_EVERY = 8
# A box nearer to the region's edge than this share of its side may be a part of a face.
EDGE_SHARE = 0.02


def search(detector: Detector, frames: Sequence[np.ndarray], *, roi: float, min_score: float) -> Found:
    """Detect in the frames [H, W, 3] of one utterance, in time order; boxes in each frame's own pixels, best first.

    `roi` 0: every whole frame, all in one call. Else each frame is asked alone, near its forerunner's face first; what
    is found there with at least `min_score` is the answer. Frames on which the detector fails are named, as
    `find_faces` does.
    """
    if roi == 0.0:
        return find_faces(detector, frames)
    answers: list[tuple[Box, ...]] = []
    failed: list[int] = []
    region: Region | None = None
    for index, frame_HWC in enumerate(frames):
        boxes = _near(detector, frame_HWC, region, min_score) if region and index % WHOLE_EVERY else ()
        if not boxes:
            whole = find_faces(detector, [frame_HWC])
            boxes = whole.boxes[0]
            failed += [index] * bool(whole.failed)
        answers.append(boxes)
        sure = [box for box in boxes if box.score >= min_score]
        region = around(sure[0], frame_HWC.shape[1], frame_HWC.shape[0], roi) if len(sure) == 1 else None
    return Found(boxes=tuple(answers), failed=tuple(failed))


def looked_at(picture: Picture, params: Shards) -> np.ndarray:
    """Return what the detector is to see of a picture [H, W, 3] RGB: a copy with `search_rows`, where it has more.

    A face of `min_face_px` there is larger in the picture by as much.
    """
    rows = params.search_rows
    if picture.height_px <= rows:
        return picture.rgb()
    height_px, width_px = rows - rows % 2, max(2, round(picture.width_px * rows / picture.height_px / 2) * 2)
    return picture.scaled(width_px=width_px, height_px=height_px).rgb()


def enlarged(box: Box, shape: Sequence[int], width_px: int, height_px: int) -> Box:
    """Return a box of a copy of that shape ([H, W, 3]) in the pixels of its picture."""
    if (height_px, width_px) == tuple(shape[:2]):
        return box
    x, y = width_px / shape[1], height_px / shape[0]
    return replace(box, left=box.left * x, top=box.top * y, right=box.right * x, bottom=box.bottom * y)


def around(box: Box, width_px: int, height_px: int, roi: float) -> Region | None:
    """Return the square of `roi` box sides around a box, moved into the picture; None where it covers most of that."""
    side = max(box.right - box.left, box.bottom - box.top) * roi
    side_px = math.ceil(side / STEP_PX) * STEP_PX
    width, height = min(side_px, width_px), min(side_px, height_px)
    if width * height > MOST_SHARE * width_px * height_px:
        return None
    left = min(max(round((box.left + box.right - width) / 2), 0), width_px - width)
    top = min(max(round((box.top + box.bottom - height) / 2), 0), height_px - height)
    return left, top, left + width, top + height


def _near(detector: Detector, frame_HWC: np.ndarray, region: Region, min_score: float) -> tuple[Box, ...]:
    """Return the sure boxes of a region in the frame's pixels; () where there are none, one is cut, or it failed."""
    left, top, right, bottom = region
    found = find_faces(detector, [np.ascontiguousarray(frame_HWC[top:bottom, left:right])])
    boxes = [box for box in found.boxes[0] if box.score >= min_score]
    if found.failed or any(_cut(box, region, frame_HWC) for box in boxes):
        return ()
    return tuple(
        replace(box, left=box.left + left, top=box.top + top, right=box.right + left, bottom=box.bottom + top)
        for box in boxes
    )


def _cut(box: Box, region: Region, frame_HWC: np.ndarray) -> bool:
    """Return whether a region's edge inside the picture cuts one of its boxes."""
    left, top, right, bottom = region
    slack = EDGE_SHARE * max(box.right - box.left, box.bottom - box.top)
    height, width = frame_HWC.shape[:2]
    return (
        (left > 0 and box.left < slack)
        or (top > 0 and box.top < slack)
        or (right < width and box.right > right - left - slack)
        or (bottom < height and box.bottom > bottom - top - slack)
    )
