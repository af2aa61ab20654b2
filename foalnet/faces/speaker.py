"""Chooses which of several faces of an utterance speaks: the one with a mouth that moves while the sound is loud.

It is the measure of the side audit (foalnet.faces.audit) for any number of faces in one utterance. Per face, motion is
the mean difference of the mouth's area between two frames, on a logarithmic scale; the area follows the face's box, so
that a head which moves as a whole moves it little. The evidence of a face is Fisher's z of the correlation of this
motion with the sound's log loudness, times the root of the number of frames, at the best lag within LAG_S: sound and
picture of a file may be apart. (The audit takes the change of loudness. In the few seconds of one utterance loudness
itself decides more often: docs/faces.md.) The lead is the best face's evidence minus the next one's, or minus 0. Chance
is estimated by shifting the sound cyclically within the utterance, by every step outside the lag: motion and loudness
stay the same and only lose their alignment. Confidence is the share of shifts with a smaller lead, or 0 if the lead is
below LEAST: of two mouths that move alike, neither leads.

Shapes: K steps between looks, M mouths, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.core.records import Box
from foalnet.faces.audit import COMMON, DIGITS, FEWEST_LOOKS, MOST_R, QUIET, loudness, normal

# The mouth's area: these shares of the box's width, and of its height from its top. A chin drops below the box.
LEFT, RIGHT, TOP, BOTTOM = 0.15, 0.85, 0.6, 1.1
# Every mouth is compared at this size, columns and rows.
SIZE = (32, 24)
# Looks are at least this far apart: at higher frame rates most of a difference would be noise of the camera.
LOOK_S = 0.03
# Added to the motion (grey levels) before the logarithm, so that noise of the camera has no effect.
STILL = 0.3
# The loudness at a step is that of the sound within this time of its middle.
REACH_S = 0.04
LAG_S = 0.16
# In standard errors of one evidence.
LEAST = 1.0
# A frame differs from the one before by so many grey levels on average, at the size of a thumbnail: another shot.
CUT_LEVELS = 25.0
THUMB = (32, 18)


class Mouth:
    """Receives the frames of one face and keeps how much its mouth moved between looks."""

    def __init__(self) -> None:
        self._last: tuple[float, np.ndarray] | None = None
        self.moved: dict[tuple[float, float], float] = {}

    def watch(self, time_s: float, luma_HW: np.ndarray, box: Box | None) -> None:
        """Add a frame's brightness [H, W] uint8 and the face's box in it, None if it has none; times ascend."""
        if box is None:
            self._last = None
            return
        if self._last is not None and time_s - self._last[0] < LOOK_S:
            return
        area_HW = _area(luma_HW, box)
        if self._last is not None:
            self.moved[self._last[0], time_s] = float(np.abs(area_HW - self._last[1]).mean())
        self._last = (time_s, area_HW)


def _area(luma_HW: np.ndarray, box: Box) -> np.ndarray:
    """Return the mouth's area of a face at SIZE, float32; beyond the picture its edge is repeated."""
    import cv2

    width, height = box.right - box.left, box.bottom - box.top
    step_x, step_y = (RIGHT - LEFT) * width / SIZE[0], (BOTTOM - TOP) * height / SIZE[1]
    x, y = box.left + LEFT * width, box.top + TOP * height
    # Only the area and what the blur needs around it are copied.
    first_x, first_y = (max(0, int(start - 4 * step)) for start, step in ((x, step_x), (y, step_y)))
    last_x, last_y = int(x + (SIZE[0] + 4) * step_x) + 2, int(y + (SIZE[1] + 4) * step_y) + 2
    part_HW = luma_HW[first_y : max(last_y, first_y + 1), first_x : max(last_x, first_x + 1)]
    if not part_HW.size:
        return np.zeros(SIZE[::-1], np.float32)
    blurred_HW = cv2.GaussianBlur(
        part_HW.astype(np.float32), (0, 0), sigmaX=max(step_x / 2, 0.1), sigmaY=max(step_y / 2, 0.1)
    )
    to_source = np.array(
        [[step_x, 0, x - first_x + (step_x - 1) / 2], [0, step_y, y - first_y + (step_y - 1) / 2]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(blurred_HW, to_source, SIZE, flags=flags, borderMode=cv2.BORDER_REPLICATE)


class Shots:
    """Receives an utterance's frames and keeps those that begin another shot of the camera."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self.cuts: list[int] = []

    def watch(self, frame: int, luma_HW: np.ndarray) -> None:
        """Add a frame's brightness [H, W] uint8; frames ascend."""
        import cv2

        thumb_HW = cv2.resize(np.ascontiguousarray(luma_HW[::2, ::2]), THUMB, interpolation=cv2.INTER_AREA)
        if self._last is not None and float(cv2.absdiff(thumb_HW, self._last).mean()) > CUT_LEVELS:
            self.cuts.append(frame)
        self._last = thumb_HW


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaking:
    """The face that leads, by its position; `confidence`: the share of shifts of the sound with a smaller lead.

    `own`: for each face, the share of shifts with less evidence for it.
    """

    first: int
    confidence: float
    own: tuple[float, ...]


def speaking(mouths: Sequence[Mouth], wave_N: np.ndarray, *, rate_hz: int, start_s: float) -> Speaking | None:
    """Return which mouth moves with an utterance's sound, None if the sound is silent or too few frames were compared.

    `wave_N` begins at `start_s` of the mouths' times.
    """
    steps = sorted({step for mouth in mouths for step in mouth.moved})
    if len(steps) < FEWEST_LOOKS:
        return None
    loud_K = _loud(np.array(steps).mean(axis=1) - start_s, wave_N, rate_hz)
    if not normal(loud_K).any():
        return None
    gap_s = float(np.median([end_s - begin_s for begin_s, end_s in steps]))
    lag = round(LAG_S / gap_s)
    evidence_MK = np.stack([_evidence(mouth, steps, loud_K, lag) for mouth in mouths])
    beyond_K = np.arange(lag + 1, len(steps) - lag)
    best_MK = -np.sort(-np.concatenate([evidence_MK, np.zeros_like(evidence_MK[:1])]), axis=0)
    lead_K = best_MK[0] - best_MK[1]
    return Speaking(
        first=int(np.argmax(evidence_MK[:, 0])),
        confidence=_share_below(lead_K, beyond_K) if lead_K[0] >= LEAST else 0.0,
        own=tuple(_share_below(curve_K, beyond_K) for curve_K in evidence_MK),
    )


def _share_below(curve_K: np.ndarray, shifts: np.ndarray) -> float:
    """Return the share of shifts with a smaller value than no shift, which counts among the others."""
    if curve_K[0] <= 0:
        return 0.0
    return round(1.0 - (1 + int((curve_K[shifts] >= curve_K[0]).sum())) / (1 + len(shifts)), DIGITS)


def _loud(middle_K: np.ndarray, wave_N: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the log loudness at the times `middle_K` (s of the sound), [K]; constant for silence."""
    sums_N = np.concatenate([[0.0], np.cumsum(np.square(wave_N, dtype=np.float64))])
    if not sums_N[-1]:
        return np.zeros(len(middle_K))
    common = COMMON * np.sqrt(sums_N[-1] / len(wave_N))
    return np.log(loudness(sums_N, middle_K, np.full(len(middle_K), REACH_S), rate_hz) / common + QUIET)


def _evidence(mouth: Mouth, steps: Sequence[tuple[float, float]], loud_K: np.ndarray, lag: int) -> np.ndarray:
    """Return a mouth's evidence for every cyclic shift of the sound, [K], each at its best lag.

    Only steps at which the face is seen count: a sum over them is a cyclic correlation with a mask.
    """
    seen_K = np.array([step in mouth.moved for step in steps])
    seen = int(seen_K.sum())
    if seen < FEWEST_LOOKS:
        return np.full(len(steps), 0.0)
    moved_K = np.zeros(len(steps))
    moved_K[seen_K] = normal(np.log(np.array([mouth.moved[step] for step in steps if step in mouth.moved]) + STILL))
    together_K, sum_K, square_K = (
        _cyclic(a_K, b_K) for a_K, b_K in ((moved_K, loud_K), (seen_K, loud_K), (seen_K, np.square(loud_K)))
    )
    spread_K = np.sqrt(np.maximum(square_K - np.square(sum_K) / seen, 0.0))
    r_K = np.divide(together_K, spread_K, out=np.zeros_like(together_K), where=spread_K > 1e-9)
    z_K = np.sqrt(seen) * np.arctanh(np.clip(r_K, -MOST_R, MOST_R))
    return np.max([np.roll(z_K, shift) for shift in range(-lag, lag + 1)], axis=0)


def _cyclic(fixed_K: np.ndarray, shifted_K: np.ndarray) -> np.ndarray:
    """Return the sum of products for every cyclic shift of the second array, [K]."""
    return np.fft.irfft(np.fft.rfft(fixed_K) * np.conj(np.fft.rfft(shifted_K)), len(fixed_K))
