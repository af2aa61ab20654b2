"""Reads a sound file as one channel; detects silence, channels that cancel each other, and clipping.

Shapes: N samples, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foalnet.core.errors import DataError
from foalnet.media.audio import FULL_SCALE, probe_wave, read_wave, wave_blocks

STEP = 1 / FULL_SCALE
# A sound is silent if its samples stay within one 16-bit step of their middle: zeros, a constant, an encoder's dither.
SILENT_SPAN = 2 * STEP
# Lowest ratio of the power of the channels' mean to that of uncorrelated channels. For two equally loud channels the
# ratio is 1 + their correlation, so this is a correlation below -0.9, which no recording of a room has.
CANCELLED = 0.1
# Level meters count three consecutive samples at full scale as an "over"; a sound with this share of them is clipped.
OVER = 3
CLIPPED = 0.001
LEFT_RIGHT = {"left": 1, "right": 2}


class ChannelMissing(DataError):
    """A file does not have the channel that the params name; `reason` is the ledger's code."""

    reason = "channel_missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class MonoSound:
    """The sound of a file as mono wave_N float32; `how` describes the choice of channels, "" for a mono file.

    `number`: the channel that was requested, None for the mean. `cancelled`: the mean was requested, but the channels
    cancel each other, so this is the loudest channel.
    """

    wave_N: np.ndarray
    rate_hz: int
    how: str
    number: int | None = None
    cancelled: bool = False


def read_mono(path: Path, channel: str | int = "mean") -> MonoSound:
    """Return the sound of a wav or flac file: the mean of its channels, or "left", "right" or a number from 1.

    Raises ChannelMissing, AudioUnreadable or AudioNonfinite (exit 3).
    """
    channels, number = probe_wave(path).channels, channel_number(path, channel)
    if number is not None:
        wave_N, rate_hz = read_wave(path, channel=number - 1)
        how = f"channel {number} of {channels}" if channels > 1 else ""
        return MonoSound(wave_N=wave_N, rate_hz=rate_hz, how=how, number=number)
    wave_N, rate_hz = read_wave(path)
    if channels == 1:
        return MonoSound(wave_N=wave_N, rate_hz=rate_hz, how="")
    power_C = _powers(path, channels)
    unrelated = float(power_C.sum()) / channels**2
    loudest = int(power_C.argmax())
    if power_C[loudest] <= SILENT_SPAN**2 or float(np.var(wave_N, dtype=np.float64)) >= CANCELLED * unrelated:
        return MonoSound(wave_N=wave_N, rate_hz=rate_hz, how=f"{channels} channels averaged")
    wave_N, rate_hz = read_wave(path, channel=loudest)
    return MonoSound(wave_N=wave_N, rate_hz=rate_hz, how=f"channel {loudest + 1} of {channels}", cancelled=True)


def channel_number(path: Path, channel: str | int) -> int | None:
    """Return the number of a channel, counted from 1; None for "mean" (ChannelMissing if the file lacks it).

    None also for "speaker", which selects the channel by the utterance's side (foalnet.clips.sound).
    """
    if channel in ("mean", "speaker"):
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
    for wave_NC in wave_blocks(path):
        count += len(wave_NC)
        sum_C += wave_NC.sum(axis=0, dtype=np.float64)
        squares_C += np.square(wave_NC, dtype=np.float64).sum(axis=0)
    variance_C: np.ndarray = squares_C / max(count, 1) - np.square(sum_C / max(count, 1))
    return variance_C


def is_silent(wave_N: np.ndarray) -> bool:
    """Return whether a sound is silent: no two samples differ by more than two 16-bit steps.

    >>> is_silent(np.zeros(9)), is_silent(np.array([0.0, 0.5]))
    (True, False)
    """
    return bool(np.ptp(wave_N) <= SILENT_SPAN) if wave_N.size else False


def clipped_share(wave_N: np.ndarray) -> float:
    """Return the share of samples in runs of at least three at full scale.

    >>> clipped_share(np.array([1.0, 1.0, 1.0, 0.0])), clipped_share(np.array([1.0, 1.0, 0.0, 1.0]))
    (0.75, 0.0)
    """
    full_N = np.abs(wave_N) >= 1 - STEP
    if full_N.size < OVER or not full_N.any():
        return 0.0
    starts_N = np.flatnonzero(full_N[:-2] & full_N[1:-1] & full_N[2:])
    return float(np.unique(starts_N[:, None] + np.arange(OVER)).size / full_N.size)
