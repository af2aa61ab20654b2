"""What a face detector promises, and what is done when it breaks its promise."""

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
    """Finds faces in pictures; knows nothing of corpora, utterances or time.

    The same picture gives the same boxes, in the same order, whatever pictures are detected beside it.
    """

    name: str

    def digest(self) -> str:
        """Return a SHA-256 over everything that shapes its boxes: weights, settings, library version."""

    def weights(self) -> dict[str, str]:
        """Return name -> SHA-256 of each file of learnt numbers that it reads; {} where it needs none."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the boxes of each frame [H, W, 3] uint8 RGB, in that frame's pixels, best first; [] where none.

        A box is a face: hairline to chin, ear to ear (`Fit` says how far from that the detector's own boxes are).
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a detector found: `boxes[i]` of frame i; `failed` are the frames it could not answer for."""

    boxes: tuple[tuple[Box, ...], ...]
    failed: tuple[int, ...]


def find_faces(detector: Detector, frames: Sequence[np.ndarray]) -> Found:
    """Detect in every frame; a frame on which the detector fails has no box and is named, the others keep theirs.

    Failing is: an exception, no answer (None), or a box that is no box (NaN, empty, inside out). Errors that say what
    is wrong with the machine or the params (FoalnetError) pass through.
    """
    whole = _answer(detector, frames)
    answers = whole if whole is not None else [_first(_answer(detector, [frame])) for frame in frames]
    boxes, failed = [], []
    for index, answer in enumerate(answers):
        good = [box for box in answer or () if is_box(box)]
        if answer is None or len(good) != len(answer):
            failed.append(index)
        boxes.append(tuple(good))
    return Found(boxes=tuple(boxes), failed=tuple(failed))


def _answer(detector: Detector, frames: Sequence[np.ndarray]) -> list[list[Box]] | None:
    try:
        answers = detector.detect(frames)
    except FoalnetError:
        raise
    except Exception:
        # A foreign library on one odd frame: any of its exceptions means the same, "no answer".
        return None
    return answers if isinstance(answers, list) and len(answers) == len(frames) else None


def _first(answers: list[list[Box]] | None) -> list[Box] | None:
    return answers[0] if answers else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What turns one detector's boxes into faces, hairline to chin and ear to ear: one rule, whatever is in a picture.

    `width` and `height` are times the detector's own; the middle moves `down` by this share of the detector's height.
    """

    width: float
    height: float
    down: float = 0.0

    def face(self, box: Box) -> Box:
        """Return the face that a detector's box stands for; score and middle across stay."""
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2 + self.down * (box.bottom - box.top)
        half_width, half_height = self.width * (box.right - box.left) / 2, self.height * (box.bottom - box.top) / 2
        return replace(box, left=x - half_width, top=y - half_height, right=x + half_width, bottom=y + half_height)

    def rules(self) -> list[float]:
        """Return its numbers, for a detector's digest."""
        return [self.width, self.height, self.down]


def is_box(box: Box) -> bool:
    """Return whether a box has a finite place, a positive size and a finite score."""
    numbers = (box.left, box.top, box.right, box.bottom, box.score)
    return all(math.isfinite(number) for number in numbers) and box.right > box.left and box.bottom > box.top


def best_first(boxes: Iterable[Box]) -> list[Box]:
    """Return boxes by falling score, then place: one order, whatever the library's."""
    return sorted(boxes, key=lambda box: (-box.score, box.left, box.top, box.right, box.bottom))


def at_least(frame_HWC: np.ndarray, side_px: int) -> np.ndarray:
    """Return a frame [H, W, 3] whose sides are `side_px` or more: a smaller one lies top left on black, not scaled."""
    height, width = frame_HWC.shape[:2]
    if min(height, width) >= side_px:
        return np.ascontiguousarray(frame_HWC)
    out_HWC = np.zeros((max(height, side_px), max(width, side_px), 3), np.uint8)
    out_HWC[:height, :width] = frame_HWC
    return out_HWC


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Run OpenCV on one thread inside the block: the same sums and the same order of candidates on every machine."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
