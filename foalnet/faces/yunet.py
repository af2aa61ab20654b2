"""`yunet`: the network YuNet, run by OpenCV; detects small heads and profiles. The choice for IEMOCAP on a CPU.

This module calls OpenCV directly: face-alignment's wrapper returns the same boxes, but loads much that is not needed
here and builds the network again for each picture size.

Two exports of the network are published, each under its own name in the registry: the params choose the file, not the
content of a folder. Its scores are not adjusted: at native size real heads score far above 0.5, chance boxes far
below. tests/contract/test_real_faces.py checks that it detects real heads, and none in pictures without people.

Its boxes nearly match faces. FIT adjusts all of them by one rule (height x 1.03, up by 0.03 of it), half way between
the optimum for drawn faces and for four real heads (docs/staging.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.files import content_key
from foalnet.core.records import Box
from foalnet.faces.base import Fit, at_least, best_first, one_opencv_thread
from foalnet.faces.weights import WeightFile, find_weights, loading

_FOLDER = "models/face_detection_yunet"
_ORIGIN = f"the GitHub repository opencv/opencv_zoo, folder {_FOLDER} (MIT)"
_ADDRESS = "https://github.com/opencv/opencv_zoo/raw"

# The export with a free input size; docs/staging.md measures this one.
WEIGHTS = WeightFile(
    name="face_detection_yunet_2026may.onnx",
    detector="yunet",
    sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    origin=_ORIGIN,
    address=f"{_ADDRESS}/47534e27c9851bb1128ccc0102f1145e27f23f98/{_FOLDER}/face_detection_yunet_2026may.onnx",
)
# The export that face-alignment 1.5.0 would download; the digest is from opencv_zoo's file list.
WEIGHTS_2023 = WeightFile(
    name="face_detection_yunet_2023mar.onnx",
    detector="yunet_2023mar",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    origin=_ORIGIN,
    address=f"{_ADDRESS}/main/{_FOLDER}/face_detection_yunet_2023mar.onnx",
)
# Boxes with a larger intersection over union are the same face: face-alignment's value.
SAME = 0.3
# OpenCV pads a picture to a multiple of 32; at 32 itself it reads uninitialised memory (OpenCV 4.14: NaN boxes, or
# different boxes at each call). Smaller pictures are placed in a square of this size.
MIN_SIDE_PX = 64
# Networks kept, one per input size (whole pictures and a few region sizes); each takes a few megabytes.
MOST_NETS = 4
FIT = Fit(width=1.0, height=1.03, down=-0.03)


class YuNetDetector:
    """Detects faces of at least `min_face_px` pixels, one picture at a time, so others do not affect its boxes."""

    def __init__(
        self, *, weights: WeightFile, name: str, min_face_px: int, min_score: float, settings: Settings
    ) -> None:
        self.name = name
        self._weights = weights
        self._min_face_px = min_face_px
        self._min_score = min_score
        # Checked at once: a missing file must stop a run before its first dialogue.
        self._path = find_weights(weights, settings)
        self._nets: dict[tuple[int, int], Any] = {}

    def digest(self) -> str:
        """Return a SHA-256 over the weight file's digest, the settings and OpenCV's version."""
        import cv2

        return content_key(
            {
                "fit": FIT.rules(),
                "min_face_px": self._min_face_px,
                "min_score": self._min_score,
                "opencv": cv2.__version__,
                "rules": [SAME, MIN_SIDE_PX],
                "weights": self._weights.sha256,
            }
        )

    def weights(self) -> dict[str, str]:
        """Return name and SHA-256 of the weight file."""
        return {self._weights.name: self._weights.sha256}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the faces of each frame [H, W, 3] uint8 RGB, best first."""
        with one_opencv_thread():
            return [self._detect_in(frame_HWC) for frame_HWC in frames]

    def _net(self, height: int, width: int) -> Any:
        """Return the network for pictures of this size; a new size costs as much as one detection."""
        size = height, width
        if size not in self._nets:
            while len(self._nets) >= MOST_NETS:
                del self._nets[next(iter(self._nets))]
            self._nets[size] = self._loaded(height, width)
        return self._nets[size]

    def _loaded(self, height: int, width: int) -> Any:
        import cv2

        # This downloads nothing; an ONNX file holds numbers and a graph, no code.
        with loading(self._path):
            return cv2.FaceDetectorYN.create(str(self._path), "", (width, height), self._min_score, SAME)

    def _detect_in(self, frame_HWC: np.ndarray) -> list[Box]:
        import cv2

        bgr_HWC = cv2.cvtColor(at_least(frame_HWC, MIN_SIDE_PX), cv2.COLOR_RGB2BGR)
        # One row per face: left, top, width, height, five points of the face, score. None if there is no face.
        _, faces_N15 = self._net(*bgr_HWC.shape[:2]).detect(bgr_HWC)
        boxes = (
            Box(left=left, top=top, right=left + width, bottom=top + height, score=min(score, 1.0))
            for left, top, width, height, *_, score in ([] if faces_N15 is None else faces_N15.tolist())
        )
        return best_first(
            FIT.face(box) for box in boxes if box.bottom - box.top >= self._min_face_px and box.score >= self._min_score
        )


def make_yunet(params: Shards, settings: Settings) -> YuNetDetector:
    """Build the detector (0.2 MB of weights); MachineError (exit 4) if the file is missing or its digest differs."""
    return _make("yunet", WEIGHTS, params, settings)


def make_yunet_2023(params: Shards, settings: Settings) -> YuNetDetector:
    """Build the detector from the export of 2023; MachineError (exit 4) as for `make_yunet`."""
    return _make("yunet_2023mar", WEIGHTS_2023, params, settings)


def _make(name: str, weights: WeightFile, params: Shards, settings: Settings) -> YuNetDetector:
    return YuNetDetector(
        weights=weights,
        name=name,
        min_face_px=params.min_face_px,
        min_score=params.detector_score,
        settings=settings,
    )
