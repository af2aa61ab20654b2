"""What a sound says before it is used: silence, channels that cancel each other, samples at full scale.

Shapes: N samples, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foalnet.core.errors import DataError
from foalnet.media.audio import FULL_SCALE, blocks_of, probe_wave, read_wave

STEP = 1 / FULL_SCALE
# No sample further than one 16-bit step from the middle: zeros, a constant, and the dither of an encoder.
SILENT_SPAN = 2 * STEP
# Power of the channels' mean over that of unrelated channels. For two equally loud ones it is 1 + their correlation, so
# that they are correlated by less than -0.9: no recording of a room is.
CANCELLED = 0.1
# Three samples in a row at full scale are an "over", as level meters count them; so many of all samples are clipping.
OVER = 3
CLIPPED = 0.001
LEFT_RIGHT = {"left": 1, "right": 2}


class ChannelMissing(DataError):
    """A file without the channel that the params name; `reason` is its ledger code."""

    reason = "channel_missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A file's sound as mono wave_N float32; `how` says which of several channels it is, "" where there is one.

    `cancelled`: the mean of all was to be heard, they cancel each other, and the loudest is heard instead.
    """

    wave_N: np.ndarray
    rate_hz: int
    how: str
    cancelled: bool = False


def listen(path: Path, channel: str | int = "mean") -> Heard:
    """Return the sound of a wav or flac file: the mean of its channels, or one ("left", "right", or counted from 1).

    ChannelMissing, and what `read_wave` raises (exit 3), where it cannot be read so.
    """
    channels, number = probe_wave(path).channels, channel_of(path, channel)
    if number is not None:
        wave_N, rate_hz = read_wave(path, channel=number - 1)
        return Heard(wave_N=wave_N, rate_hz=rate_hz, how=f"channel {number} of {channels}" if channels > 1 else "")
    wave_N, rate_hz = read_wave(path)
    if channels == 1:
        return Heard(wave_N=wave_N, rate_hz=rate_hz, how="")
    power_C = _powers(path, channels)
    unrelated = float(power_C.sum()) / channels**2
    loudest = int(power_C.argmax())
    if power_C[loudest] <= SILENT_SPAN**2 or float(np.var(wave_N, dtype=np.float64)) >= CANCELLED * unrelated:
        return Heard(wave_N=wave_N, rate_hz=rate_hz, how=f"{channels} channels averaged")
    wave_N, rate_hz = read_wave(path, channel=loudest)
    return Heard(wave_N=wave_N, rate_hz=rate_hz, how=f"channel {loudest + 1} of {channels}", cancelled=True)


def channel_of(path: Path, channel: str | int) -> int | None:
    """Return the number of the channel that is named, from 1; None for "mean"; ChannelMissing where there is none."""
    if channel == "mean":
        return None
    channels, number = probe_wave(path).channels, LEFT_RIGHT.get(str(channel)) or int(channel)
    if number > channels:
        raise ChannelMissing(
            f"the sound has {channels} channel(s), no channel {number}", file=path, action="choose another channel"
        )
    return number


def _powers(path: Path, channels: int) -> np.ndarray:
    """Return the variance of each channel."""
    count, sum_C, squares_C = 0, np.zeros(channels), np.zeros(channels)
    for wave_NC in blocks_of(path):
        count += len(wave_NC)
        sum_C += wave_NC.sum(axis=0, dtype=np.float64)
        squares_C += np.square(wave_NC, dtype=np.float64).sum(axis=0)
    variance_C: np.ndarray = squares_C / max(count, 1) - np.square(sum_C / max(count, 1))
    return variance_C


def is_silent(wave_N: np.ndarray) -> bool:
    """Tell whether nothing is to be heard: no two samples differ by more than two 16-bit steps."""
    return bool(np.ptp(wave_N) <= SILENT_SPAN) if wave_N.size else False


def clipped_share(wave_N: np.ndarray) -> float:
    """Return the share of samples that stand at full scale in a row of at least three."""
    full_N = np.abs(wave_N) >= 1 - STEP
    if full_N.size < OVER or not full_N.any():
        return 0.0
    starts_N = np.flatnonzero(full_N[:-2] & full_N[1:-1] & full_N[2:])
    return float(np.unique(starts_N[:, None] + np.arange(OVER)).size / full_N.size)
