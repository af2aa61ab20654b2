"""The protocol of a face detector, and how its failures are handled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from foalnet.core.errors import FoalnetError
from foalnet.core.records import Box


class Detector(Protocol):
    """Detects faces in pictures; knows nothing of corpora, utterances or time.

    The same picture gives the same boxes in the same order, whatever the other pictures of a call are.
    """

    name: str

    def digest(self) -> str:
        """Return a SHA-256 over everything that shapes the boxes: weights, settings, library version."""

    def weights(self) -> dict[str, str]:
        """Return name -> SHA-256 of each weight file that the detector reads; {} if it reads none."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the boxes of each frame [H, W, 3] uint8 RGB, in that frame's pixels, best first; [] for no face.

        A box covers a face from hairline to chin and ear to ear; `Fit` converts a detector's own boxes.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """The boxes of several frames: `boxes[i]` of frame i; `failed` lists the frames on which the detector failed."""

    boxes: tuple[tuple[Box, ...], ...]
    failed: tuple[int, ...]


def detect_all(detector: Detector, frames: Sequence[np.ndarray]) -> Detections:
    """Detect faces in every frame; `failed` lists a frame on which the detector fails, the others keep their boxes.

    A failure is an exception, no answer (None), or an invalid box (NaN, empty, inside out). FoalnetError, which states
    what is wrong with the machine or the params, passes through.
    """
    whole = _answer(detector, frames)
    answers = whole if whole is not None else [_first(_answer(detector, [frame])) for frame in frames]
    boxes, failed = [], []
    for index, answer in enumerate(answers):
        good = [box for box in answer or () if is_box(box)]
        if answer is None or len(good) != len(answer):
            failed.append(index)
        boxes.append(tuple(good))
    return Detections(boxes=tuple(boxes), failed=tuple(failed))


def _answer(detector: Detector, frames: Sequence[np.ndarray]) -> list[list[Box]] | None:
    try:
        answers = detector.detect(frames)
    except FoalnetError:
        raise
    except Exception:
        # Whatever a third-party library raises on one odd frame means "no answer".
        return None
    return answers if isinstance(answers, list) and len(answers) == len(frames) else None


def _first(answers: list[list[Box]] | None) -> list[Box] | None:
    return answers[0] if answers else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Converts one detector's boxes into faces, hairline to chin and ear to ear, by one rule for all pictures.

    `width` and `height` are factors; the middle moves down by the share `down` of the detector's box height.

    >>> Fit(width=0.5, height=1.0, down=0.1).face(Box(left=0, top=0, right=20, bottom=10))
    Box(left=5.0, top=1.0, right=15.0, bottom=11.0, score=1.0)
    """

    width: float
    height: float
    down: float = 0.0

    def face(self, box: Box) -> Box:
        """Return the face for a detector's box; score and horizontal middle stay."""
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2 + self.down * (box.bottom - box.top)
        half_width, half_height = self.width * (box.right - box.left) / 2, self.height * (box.bottom - box.top) / 2
        return replace(box, left=x - half_width, top=y - half_height, right=x + half_width, bottom=y + half_height)

    def rules(self) -> list[float]:
        """Return the rule's numbers, for a detector's digest."""
        return [self.width, self.height, self.down]


def is_box(box: Box) -> bool:
    """Tell whether a box has a finite position, a positive size and a finite score.

    >>> is_box(Box(left=0, top=0, right=9, bottom=9)), is_box(Box(left=0, top=0, right=0, bottom=9))
    (True, False)
    """
    numbers = (box.left, box.top, box.right, box.bottom, box.score)
    return all(math.isfinite(number) for number in numbers) and box.right > box.left and box.bottom > box.top


def best_first(boxes: Iterable[Box]) -> list[Box]:
    """Return the boxes by descending score, then position: an order independent of the library's.

    >>> best = Box(left=0, top=0, right=9, bottom=9, score=0.9)
    >>> best_first([replace(best, score=0.5), best])[0].score
    0.9
    """
    return sorted(boxes, key=lambda box: (-box.score, box.left, box.top, box.right, box.bottom))


def at_least(frame_HWC: np.ndarray, side_px: int) -> np.ndarray:
    """Return a frame [H, W, 3] with sides of at least `side_px`; a smaller one gets black at right and bottom."""
    height, width = frame_HWC.shape[:2]
    if min(height, width) >= side_px:
        return np.ascontiguousarray(frame_HWC)
    out_HWC = np.zeros((max(height, side_px), max(width, side_px), 3), np.uint8)
    out_HWC[:height, :width] = frame_HWC
    return out_HWC


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Run OpenCV on one thread inside the block, so that sums and the order of candidates are the same everywhere."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
