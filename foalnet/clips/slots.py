"""Which frames belong to an utterance: one slot per frame of its time, whether or not a picture exists for it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Where no video tells its rate, the slots of a fully masked utterance follow NTSC, the rate of IEMOCAP's cameras.
FALLBACK_RATE_FPS = 30000 / 1001
# Stamps are written with this many digits: microseconds, the resolution by which the two readers agree.
TIME_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The frame slots of one utterance.

    Frames `first` up to (not with) `stop` of the video exist; `times_s` has one stamp per slot, those of the existing
    frames first, then those that the video should still have had.
    """

    first: int
    stop: int
    times_s: tuple[float, ...]

    @property
    def existing(self) -> int:
        """Number of slots for which the video has a frame."""
        return self.stop - self.first


def slots_of(start_s: float, end_s: float, times_s: Sequence[float], rate_fps: float) -> Slots:
    """Return the slots of [start_s, end_s): frames with start_s <= t < end_s, and those missing at the video's end.

    `times_s`: stamps of all frames of the video, rising, empty where there is none. A time too short to hold a frame
    gets one slot, that of the frame shown when it starts. At least one slot always.
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
    """Return the stamps within [start_s, end_s) at which frames would follow the video's last one."""
    last_s = times_s[-1] if times_s else -1 / rate_fps
    number = max(1, math.floor((start_s - last_s) * rate_fps) - 1)
    stamps = []
    # A stamp that meets the end but for rounding belongs to the next utterance.
    while (stamp := last_s + number / rate_fps) < end_s - 10**-TIME_DIGITS:
        if stamp >= start_s:
            stamps.append(stamp)
        number += 1
    return stamps
