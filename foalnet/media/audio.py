"""Reads sound files as mono float32, resamples, and writes FLAC, which stores 16-bit sound exactly.

Shapes: N samples.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.core.errors import DataError, MachineError, reason
from foalnet.core.files import NotPlain, open_plain
from foalnet.core.shim import load_torchaudio, one_torch_thread

MAX_DURATION_S = 6 * 3600.0
# Samples per channel: six hours at 16 kHz, two at 48. A compressed file may expand to a thousand times its size.
MAX_SAMPLES = 6 * 3600 * 16_000
RATES_HZ = (1_000, 768_000)
# The filter between two rates without a common factor has their product as size; 22,255 to 16,000 Hz still fits.
MAX_FILTER = 1 << 24
FULL_SCALE = 32768.0

_FORMATS = ("FLAC", "RF64", "WAV", "WAVEX")
_BLOCK_SAMPLES = 1 << 20
_RIFF_UNKNOWN = (0, 0xFFFFFFFF)


class AudioUnreadable(DataError):
    """A sound file cannot be read; `reason` is the ledger's code."""

    reason = "wav_unreadable"


class AudioNonfinite(DataError):
    """A sound has NaN or infinite samples; `reason` is the ledger's code."""

    reason = "audio_nonfinite"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveInfo:
    """Properties of a sound file: each channel has `samples`; the header declares `declared_samples`."""

    rate_hz: int
    channels: int
    samples: int
    declared_samples: int
    encoding: str

    @property
    def truncated(self) -> bool:
        """Return whether the header declares more sound than the file has."""
        return self.samples < self.declared_samples


def probe_wave(path: Path) -> WaveInfo:
    """Return the properties of a sound file from its header (AudioUnreadable, exit 3, unless it is wav or flac)."""
    with _reading(path) as handle:
        samples = int(handle.frames)
        return WaveInfo(
            rate_hz=int(handle.samplerate),
            channels=int(handle.channels),
            samples=samples,
            declared_samples=max(samples, _riff_samples(path) or 0),
            encoding=str(handle.subtype),
        )


def read_wave(path: Path, *, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Return (wave_N float32 mono in [-1, 1], rate_hz) of a whole wav or flac file.

    The channels are averaged, unless `channel` selects one (0 is the first). Integer samples are scaled by their full
    scale. If the header declares more sound than exists, the existing sound is returned (see `WaveInfo.truncated`).
    Raises AudioUnreadable or AudioNonfinite (exit 3).
    """
    info = probe_wave(path)
    if channel is not None and not 0 <= channel < info.channels:
        raise ValueError(f"channel {channel} of a file with {info.channels} channels")
    blocks = [np.zeros(0, np.float32)]
    for wave_NC in wave_blocks(path):
        mono_N = wave_NC.mean(axis=1, dtype=np.float64) if channel is None else wave_NC[:, channel]
        blocks.append(mono_N.astype(np.float32))
    return np.concatenate(blocks), info.rate_hz


def wave_blocks(path: Path) -> Iterator[np.ndarray]:
    """Yield the sound in blocks [N, channels] float32, so that a file of many channels is never in memory as a whole.

    Raises AudioUnreadable or AudioNonfinite (exit 3).
    """
    done = 0
    with _reading(path) as handle:
        while len(wave_NC := handle.read(_BLOCK_SAMPLES // handle.channels + 1, dtype="float32", always_2d=True)):
            if not np.isfinite(wave_NC).all():
                where = done + int(np.flatnonzero(~np.isfinite(wave_NC).all(axis=1))[0])
                raise AudioNonfinite(
                    f"the sound holds NaN or infinite samples, the first at {where / handle.samplerate:.3f} s",
                    file=path,
                    action="put the original recording back; until then the utterance is dropped",
                )
            yield wave_NC
            done += len(wave_NC)


def resample(wave_N: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Return the wave at another rate: float32, ceil(N * to_hz / from_hz) samples, band-limited (torchaudio's sinc).

    Raises AudioUnreadable (exit 3) for a pair of rates that would need gigabytes.

    >>> len(resample(np.zeros(8001, np.float32), 16000, 8000))
    4001
    """
    if from_hz == to_hz:
        return wave_N
    shared = math.gcd(from_hz, to_hz)
    if (from_hz // shared) * (to_hz // shared) > MAX_FILTER:
        raise AudioUnreadable(
            f"the sound cannot be read: resampling its rate of {from_hz} Hz to {to_hz} Hz would take too much memory",
            action="resample it, or put the original file back; until then its utterances are dropped",
        )
    functional = load_torchaudio().functional
    import torch

    # torchaudio reduces the two rates by their greatest common divisor itself.
    wave = torch.from_numpy(np.ascontiguousarray(wave_N, dtype=np.float32))
    with one_torch_thread():
        out: np.ndarray = functional.resample(wave, from_hz, to_hz).numpy()
    return out


def flac_bytes(wave_N: np.ndarray, rate_hz: int) -> bytes:
    """Encode mono sound as 16-bit FLAC: the same wave gives the same bytes; 16-bit sound is stored exactly.

    Values beyond full scale are clipped. Raises ValueError if a sample is not finite.
    """
    import soundfile

    if not np.isfinite(wave_N).all():
        raise ValueError("a wave with NaN or infinite samples cannot be encoded")
    samples_N = np.clip(np.rint(wave_N.astype(np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    out = io.BytesIO()
    soundfile.write(out, samples_N, rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def read_flac(data: bytes) -> tuple[np.ndarray, int]:
    """Return (wave_N float32, rate_hz) from the bytes of `flac_bytes` (DataError, exit 3, if they are damaged)."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as handle:
            wave_N = handle.read(dtype="float32")
            if len(wave_N) != handle.frames:
                raise AudioUnreadable(f"FLAC bytes end after {len(wave_N)} of {handle.frames} samples")
            return wave_N, int(handle.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioUnreadable(f"not FLAC bytes: {reason(error)}") from error


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open a sound file; raises AudioUnreadable for every fault of the file."""
    import soundfile

    try:
        with open_plain(path) as raw, soundfile.SoundFile(raw) as handle:
            if handle.format not in _FORMATS:
                raise _unreadable(path, f"it is {handle.format}, not wav or flac")
            if handle.frames > MAX_DURATION_S * handle.samplerate:
                raise _unreadable(path, f"it lasts over {MAX_DURATION_S / 3600:.0f} h")
            if handle.frames > MAX_SAMPLES:
                raise _unreadable(path, f"it has {handle.frames:,} samples; the limit is {MAX_SAMPLES:,}")
            if not RATES_HZ[0] <= handle.samplerate <= RATES_HZ[1]:
                raise _unreadable(path, f"its rate is {handle.samplerate} Hz")
            yield handle
    except NotPlain as error:
        raise _unreadable(path, str(error)) from error
    except IsADirectoryError as error:
        raise _unreadable(path, "it is a folder") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unreadable(path, "there is no such file") from error
    except OSError as error:
        raise MachineError(
            f"the sound cannot be opened: {reason(error)}",
            file=path,
            action="make the file readable, then run again",
        ) from error
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, f"{error.error_string} The file has {path.stat().st_size:,} bytes") from error


def _unreadable(path: Path, why: str) -> AudioUnreadable:
    return AudioUnreadable(
        f"the sound cannot be read: {why}",
        file=path,
        action="put the original file back; until then its utterances are dropped",
    )


def _riff_samples(path: Path) -> int | None:
    """Return the samples per channel that a wav header declares; None if it declares none or the file is not wav.

    libsndfile silently limits the number to the file's content, so this function reads the header itself.
    """
    with path.open("rb") as handle:
        head = handle.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        align = 0
        while len(head := handle.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"fmt ":
                body = handle.read(min(size, 16))
                align = struct.unpack_from("<H", body, 12)[0] if len(body) >= 14 else 0
                handle.seek(size + size % 2 - len(body), io.SEEK_CUR)
            elif name == b"data":
                return size // align if align and size not in _RIFF_UNKNOWN else None
            else:
                handle.seek(size + size % 2, io.SEEK_CUR)
    return None
