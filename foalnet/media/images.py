"""Single pictures: JPEG bytes, scaling, and where the black bars of a letterbox end.

Shapes: H rows, W columns, C = 3 colours (red, green, blue), S frames of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foalnet.errors import DataError

# A row belongs to the picture where this share of it is brighter than DARK in the median frame of the sample.
DARK = 24
LIT_SHARE = 0.1
# Thinner stripes (a time code, the torn line at the edge of an analogue picture) are not the picture.
MIN_STRIPE_ROWS = 8
# Less than this share of the rows is no letterbox but a dark scene.
MIN_PICTURE_SHARE = 0.25


def jpeg_bytes(frame_HWC: np.ndarray, quality: int) -> bytes:
    """Encode an RGB picture [H, W, 3] uint8 as a baseline JPEG (4:2:0): the same picture gives the same bytes."""
    import cv2

    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_PROGRESSIVE,
        0,
        cv2.IMWRITE_JPEG_OPTIMIZE,
        0,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(frame_HWC[..., ::-1]), options)
    if not done:
        raise ValueError(f"not a picture: shape {frame_HWC.shape}, {frame_HWC.dtype}")
    return bytes(data)


def read_jpeg(data: bytes) -> np.ndarray:
    """Decode a JPEG to RGB [H, W, 3] uint8; DataError (exit 3) where the bytes are no whole JPEG."""
    import cv2

    # A JPEG cut short still decodes, with grey below the cut: its end marker is what tells.
    whole = data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if picture is None:
        raise DataError(f"{len(data)} bytes that are no whole JPEG", action="build the shards again: `foalnet shards`")
    return np.ascontiguousarray(picture[..., ::-1])


def resize(frame_HWC: np.ndarray, *, width_px: int, height_px: int) -> np.ndarray:
    """Return the picture scaled to exactly the size asked for: by area means where it shrinks, else linearly."""
    import cv2

    height, width = frame_HWC.shape[:2]
    if (height, width) == (height_px, width_px):
        return frame_HWC
    shrinks = height_px * width_px < height * width
    return cv2.resize(
        np.ascontiguousarray(frame_HWC),
        (width_px, height_px),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )


def letterbox_rows(frames: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return (top, bottom): the rows top <= row < bottom hold the picture, the others are black bars.

    `frames`: a few pictures [H, W, 3] uint8 of one video and one size. (0, H) where there are no bars, or where the
    lit rows are so few that the scene is dark rather than letterboxed.
    """
    if not frames:
        raise ValueError("letterbox_rows needs at least one frame")
    rows = frames[0].shape[0]
    light_SHW = np.stack([frame.max(axis=2) for frame in frames])
    lit_H = (np.median(light_SHW, axis=0) > DARK).mean(axis=1) >= LIT_SHARE
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lit_H.astype(np.int8), [0]))))
    stripes = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= MIN_STRIPE_ROWS]
    if not stripes:
        return 0, rows
    top, bottom = stripes[0][0], stripes[-1][1]
    return (top, bottom) if bottom - top >= MIN_PICTURE_SHARE * rows else (0, rows)
