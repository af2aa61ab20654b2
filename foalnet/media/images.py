"""Encodes, decodes and scales single pictures, and detects the black bars of a letterbox.

Shapes: H rows, W columns, C = 3 colours (red, green, blue), S frames of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foalnet.core.errors import DataError

# A row belongs to the picture if this share of it is brighter than DARK in the median of the sampled frames.
DARK = 24
LIT_SHARE = 0.1
# Thinner stripes (a time code, the torn line at the edge of an analogue picture) are not the picture.
MIN_STRIPE_ROWS = 8
ROWS_AT_ONCE = 64
# If fewer rows than this share are bright, the picture is dark rather than letterboxed.
MIN_PICTURE_SHARE = 0.25


def jpeg_bytes(frame_HWC: np.ndarray, quality: int) -> bytes:
    """Encode an RGB picture [H, W, 3] uint8 as a baseline JPEG (4:2:0): the same picture gives the same bytes."""
    import cv2

    if frame_HWC.ndim != 3 or not frame_HWC.size or frame_HWC.dtype != np.uint8:
        raise ValueError(f"not a picture: shape {frame_HWC.shape}, {frame_HWC.dtype}")
    return encode_bgr(cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2BGR), quality)


def encode_bgr(bgr_HWC: np.ndarray, quality: int) -> bytes:
    """Encode a picture [H, W, 3] uint8 in OpenCV's colour order (BGR) as `jpeg_bytes` does."""
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
    done, data = cv2.imencode(".jpg", bgr_HWC, options)
    if not done:
        raise ValueError(f"not a picture: shape {bgr_HWC.shape}, {bgr_HWC.dtype}")
    return data.tobytes()


def read_jpeg(data: bytes) -> np.ndarray:
    """Decode a JPEG to RGB [H, W, 3] uint8 (DataError, exit 3, if the bytes are not a whole JPEG)."""
    import cv2

    # A truncated JPEG still decodes, with grey at the bottom; only its missing end marker shows the damage.
    whole = data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if picture is None:
        raise DataError(f"{len(data)} bytes are not a whole JPEG", action="build the shards again: `foalnet shards`")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def resize(frame_HWC: np.ndarray, *, width_px: int, height_px: int) -> np.ndarray:
    """Return the picture scaled to the given size: by area means if it shrinks, else linearly.

    >>> resize(np.full((4, 6, 3), 9, np.uint8), width_px=3, height_px=2).shape
    (2, 3, 3)
    """
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


def rescale(frame_HWC: np.ndarray, *, width_px: int, height_px: int) -> np.ndarray:
    """Return a picture or one plane of it scaled to the given size, as staging scales every frame.

    Each side is halved by means of neighbours while it stays at least as long as the target; the rest is scaled
    linearly. Area means at any ratio would take several times as long. Halving an odd side omits its last line.
    """
    import cv2

    height, width = frame_HWC.shape[:2]
    while (x := 1 + (width >= 2 * width_px)) + (y := 1 + (height >= 2 * height_px)) > 2:
        width, height = width // x, height // y
        even_HWC = frame_HWC[: y * height, : x * width]
        frame_HWC = cv2.resize(even_HWC, (width, height), interpolation=cv2.INTER_AREA)
    if (height, width) == (height_px, width_px):
        return frame_HWC
    return cv2.resize(frame_HWC, (width_px, height_px), interpolation=cv2.INTER_LINEAR)


def brightness(frame_HWC: np.ndarray) -> np.ndarray:
    """Return the brightest colour of each pixel, [H, W] uint8, of a picture [H, W, 3].

    >>> brightness(np.array([[[1, 5, 3], [9, 0, 0]]], np.uint8)).tolist()
    [[5, 9]]
    """
    # Pairwise, because `max(axis=2)` over three neighbours takes far longer.
    light_HW: np.ndarray = np.maximum(np.maximum(frame_HWC[..., 0], frame_HWC[..., 1]), frame_HWC[..., 2])
    return light_HW


def letterbox_rows(light: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return (top, bottom): the rows top <= row < bottom are the picture, all others black bars.

    `light`: the `brightness` of a few pictures of one video and size, each [H, W]. Returns (0, H) if there are no bars,
    or if so few rows are bright that the picture is dark rather than letterboxed.

    >>> light = np.zeros((48, 64), np.uint8)
    >>> light[6:42] = 200
    >>> letterbox_rows([light])
    (6, 42)
    """
    lit_H = lit_rows(light)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lit_H.astype(np.int8), [0]))))
    stripes = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= MIN_STRIPE_ROWS]
    if not stripes:
        return 0, lit_H.size
    top, bottom = stripes[0][0], stripes[-1][1]
    return (top, bottom) if bottom - top >= MIN_PICTURE_SHARE * lit_H.size else (0, lit_H.size)


def lit_rows(light: Sequence[np.ndarray]) -> np.ndarray:
    """Return which rows are bright in the median of a few pictures' `brightness`, each [H, W]: [H] bool."""
    if not light:
        raise ValueError("lit_rows needs at least one frame")
    lit = []
    # In groups of rows: medians of whole large pictures would take ten times their memory.
    for row in range(0, light[0].shape[0], ROWS_AT_ONCE):
        median_RW = np.median(np.stack([light_HW[row : row + ROWS_AT_ONCE] for light_HW in light]), axis=0)
        lit.append((median_RW > DARK).mean(axis=1) >= LIT_SHARE)
    return np.concatenate(lit)
