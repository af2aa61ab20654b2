"""`haar`: the frontal-face cascade that comes with opencv-python; needs no weight file and no network.

The cascade ("alt2", Lienhart) works best from 48 pixels up, and heads in a two-actor picture have 35 to 45: the
detector scales the picture so that the smallest face searched for has 48. It does not equalise the histogram: at that
size this loses real heads and takes most of the time. But OpenCV discards every window with a deviation of its grey
levels below 10, and so faces in the dark: if the brightest hundredth of a picture is below BRIGHT, the detector first
brightens the picture to it by one factor.

Its boxes are squares a fourth wider than a face. FIT turns all of them into faces by one rule (width x 0.77, height
x 1.06, same middle), half way between the optimum for drawn faces and for four real heads (docs/staging.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError
from foalnet.core.files import content_key, sha256_file
from foalnet.core.records import Box
from foalnet.faces.base import Fit, best_first, one_opencv_thread

CASCADE = "haarcascade_frontalface_alt2.xml"
SCALE_STEP = 1.2
WINDOW_PX = 48
# Many neighbouring windows hit a face, few hit a chance pattern. n windows give the score n / (n + HALF): the usual
# threshold 0.5 means four windows, which is OpenCV's own default (more than three).
HALF = 4
BRIGHT, BRIGHT_SHARE = 120, 0.99
FIT = Fit(width=0.77, height=1.06)


class HaarDetector:
    """Detects frontal faces of at least `min_face_px` pixels; the score grows with the number of windows that agree."""

    name = "haar"

    def __init__(self, *, min_face_px: int, min_score: float) -> None:
        self.min_face_px = min_face_px
        self.min_score = min_score
        self._windows = max(1, math.ceil(HALF * min_score / (1.0 - min_score))) if min_score < 1.0 else None

    def digest(self) -> str:
        """Return a SHA-256 over the cascade, the settings and OpenCV's version."""
        import cv2

        return content_key(
            {
                "bright": [BRIGHT, BRIGHT_SHARE],
                "cascade": _cascade_digest(),
                "fit": FIT.rules(),
                "half": HALF,
                "min_face_px": self.min_face_px,
                "min_score": self.min_score,
                "opencv": cv2.__version__,
                "scale_step": SCALE_STEP,
                "window_px": WINDOW_PX,
            }
        )

    def weights(self) -> dict[str, str]:
        """Return name and SHA-256 of the cascade."""
        return {CASCADE: _cascade_digest()}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the faces of each frame [H, W, 3] uint8 RGB, best first."""
        if self._windows is None:
            return [[] for _ in frames]
        # With several threads the order of the candidates varies, and so does their grouping.
        with one_opencv_thread():
            return [self._detect_in(frame_HWC) for frame_HWC in frames]

    def _detect_in(self, frame_HWC: np.ndarray) -> list[Box]:
        import cv2

        scale = WINDOW_PX / self.min_face_px
        grey = brightened(cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2GRAY))
        if scale != 1.0:
            inter = cv2.INTER_LINEAR if scale > 1.0 else cv2.INTER_AREA
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=inter)
        if min(grey.shape) < WINDOW_PX:
            return []
        places, counts = _cascade().detectMultiScale2(
            grey,
            scaleFactor=SCALE_STEP,
            minNeighbors=(self._windows or 1) - 1,
            minSize=(WINDOW_PX, WINDOW_PX),
        )
        return best_first(
            FIT.face(
                Box(
                    left=float(x / scale),
                    top=float(y / scale),
                    right=float((x + width) / scale),
                    bottom=float((y + height) / scale),
                    score=float(count / (count + HALF)),
                )
            )
            for (x, y, width, height), count in zip(np.asarray(places).reshape(-1, 4), counts, strict=True)
        )


def brightened(grey_HW: np.ndarray) -> np.ndarray:
    """Return a picture [H, W] uint8, brightened by one factor if it is dark and unchanged if it is not."""
    import cv2

    counts = np.cumsum(np.bincount(grey_HW.ravel(), minlength=256))
    brightest = max(int(np.searchsorted(counts, BRIGHT_SHARE * grey_HW.size)), 1)
    if brightest >= BRIGHT:
        return grey_HW
    return np.asarray(cv2.convertScaleAbs(grey_HW, alpha=BRIGHT / brightest))


def make_haar(params: Shards, settings: Settings) -> HaarDetector:
    """Build the detector from params; it uses no setting."""
    del settings
    return HaarDetector(min_face_px=params.min_face_px, min_score=params.detector_score)


def _cascade_file() -> Path:
    import cv2

    # The folder exists at run time, but OpenCV 5 ships without it and its type stubs do not declare it.
    data: Any = getattr(cv2, "data", None)
    path = Path(getattr(data, "haarcascades", "")) / CASCADE
    if not path.is_file() or not hasattr(cv2, "CascadeClassifier"):
        raise MachineError(
            f"this OpenCV ({cv2.__version__}) has no face cascades",
            file=path,
            action="pip install -c constraints.txt 'opencv-python<5'",
        )
    return path


@lru_cache(maxsize=1)
def _cascade() -> Any:
    import cv2

    return cv2.CascadeClassifier(str(_cascade_file()))


@lru_cache(maxsize=1)
def _cascade_digest() -> str:
    return sha256_file(_cascade_file())
