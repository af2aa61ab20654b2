"""`fixed`: a detector that returns given boxes, for tests and for corpora with faces that never move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.files import content_key, sha256_bytes
from foalnet.core.records import Box

# The central box is a square in the middle of a picture, with this share of its height.
CENTRAL_SHARE = 0.5


def frame_digest(frame_HWC: np.ndarray) -> str:
    """Return the SHA-256 of a frame's pixels, the key in a `FixedDetector`'s mapping."""
    return sha256_bytes(np.ascontiguousarray(frame_HWC).tobytes())


class FixedDetector:
    """Returns for each frame the boxes of a mapping (frame digest -> boxes), or the central box."""

    name = "fixed"

    def __init__(self, boxes: Mapping[str, Sequence[Box]] | None = None) -> None:
        self._boxes = {digest: list(given) for digest, given in (boxes or {}).items()}

    def digest(self) -> str:
        """Return a SHA-256 over the mapping and the central box."""
        listed = {
            digest: [[box.left, box.top, box.right, box.bottom, box.score] for box in boxes]
            for digest, boxes in self._boxes.items()
        }
        return content_key({"boxes": listed, "central_share": CENTRAL_SHARE})

    def weights(self) -> dict[str, str]:
        """Return {}: it reads no weights."""
        return {}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the boxes of each frame [H, W, 3]."""
        return [list(self._boxes.get(frame_digest(f), [central_box(*f.shape[:2])])) for f in frames]


def central_box(height_px: int, width_px: int) -> Box:
    """Return the central box of a picture."""
    half = CENTRAL_SHARE * height_px / 2
    x, y = width_px / 2, height_px / 2
    return Box(left=x - half, top=y - half, right=x + half, bottom=y + half)


def make_fixed(params: Shards, settings: Settings) -> FixedDetector:
    """Build the detector that returns the central box for every frame."""
    del params, settings
    return FixedDetector()
