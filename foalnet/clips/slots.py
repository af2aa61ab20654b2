"""Computes the frame slots of an utterance: one slot for each frame that its time span should have.

The video may end inside the span, or be absent: a slot without a frame is masked.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# The rate of the slots of an utterance without a video, all of them masked: NTSC, as IEMOCAP's cameras.
FALLBACK_RATE_FPS = 30000 / 1001
# Time stamps are rounded to microseconds, the resolution at which the two video readers agree.
TIME_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The frame slots of one utterance.

    Frames `first` to `stop` (exclusive) of the video exist; `times_s` has one time stamp per slot: those of the
    existing frames first, then those of the frames that the video lacks.
    """

    first: int
    stop: int
    times_s: tuple[float, ...]

    @property
    def existing(self) -> int:
        """The number of slots for which the video has a frame."""
        return self.stop - self.first


def slots_of(start_s: float, end_s: float, times_s: Sequence[float], rate_fps: float) -> Slots:
    """Return the slots of [start_s, end_s): frames with start_s <= t < end_s, and those missing at the video's end.

    `times_s`: time stamps of all frames of the video, ascending; empty without a video. A span too short to contain a
    frame gets one slot, for the frame shown at its start. The result always has at least one slot.

    >>> slots = slots_of(0.04, 0.12, [0.0, 0.04, 0.08, 0.12], rate_fps=25)
    >>> slots.first, slots.stop, slots.times_s
    (1, 3, (0.04, 0.08))
    """
    rate = rate_fps if rate_fps > 0 else FALLBACK_RATE_FPS
    first, stop = bisect_left(times_s, start_s), bisect_left(times_s, end_s)
    after = _after(start_s, end_s, times_s, rate)
    if first == stop and not after:
        if times_s and start_s < times_s[-1] + 1 / rate:
            first = max(bisect_right(times_s, start_s) - 1, 0)
            stop = first + 1
        else:
            after = [start_s]
    existing = [round(float(t), TIME_DIGITS) for t in times_s[first:stop]]
    return Slots(first=first, stop=stop, times_s=(*existing, *(round(t, TIME_DIGITS) for t in after)))


def _after(start_s: float, end_s: float, times_s: Sequence[float], rate_fps: float) -> list[float]:
    """Return the time stamps in [start_s, end_s) that frames after the video's last one would have."""
    last_s = times_s[-1] if times_s else -1 / rate_fps
    # The n-th frame after the last one would be at last_s + n / rate_fps. The search begins shortly before `start_s`.
    number = max(1, math.floor((start_s - last_s) * rate_fps) - 1)
    stamps = []
    # A time stamp that equals the end except for rounding belongs to the next utterance.
    while (stamp := last_s + number / rate_fps) < end_s - 10**-TIME_DIGITS:
        if stamp >= start_s:
            stamps.append(stamp)
        number += 1
    return stamps
