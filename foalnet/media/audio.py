"""Sound files: read as mono float32, resampled, written as FLAC that holds 16-bit sound exactly.

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
# Of one channel: six hours at 16 kHz, two at 48. A compressed file may hold a thousand times what it weighs.
MAX_SAMPLES = 6 * 3600 * 16_000
RATES_HZ = (1_000, 768_000)
# Two rates that share no factor need a filter of their product; 22,255 to 16,000 Hz is the worst that is met.
MAX_FILTER = 1 << 24
FULL_SCALE = 32768.0

_FORMATS = ("FLAC", "RF64", "WAV", "WAVEX")
_BLOCK_SAMPLES = 1 << 20
_RIFF_UNKNOWN = (0, 0xFFFFFFFF)


class AudioUnreadable(DataError):
    """A sound file that cannot be read; `reason` is its ledger code."""

    reason = "wav_unreadable"


class AudioNonfinite(DataError):
    """Sound with NaN or infinite samples; `reason` is its ledger code."""

    reason = "audio_nonfinite"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveInfo:
    """A sound file's facts: `samples` exist in each channel, `declared_samples` are promised by its header."""

    rate_hz: int
    channels: int
    samples: int
    declared_samples: int
    encoding: str

    @property
    def truncated(self) -> bool:
        """True where the header promises more sound than the file holds."""
        return self.samples < self.declared_samples


def probe_wave(path: Path) -> WaveInfo:
    """Return a sound file's facts from its header (AudioUnreadable, exit 3, where it is neither wav nor flac)."""
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
    """Return (wave_N float32 mono in [-1, 1], rate_hz) of a wav or flac file, all of it.

    Several channels are averaged, or one is chosen by `channel` (0 is the first). Integer samples are scaled by their
    own full scale. Where the header promises more than exists, what exists is returned (`probe_wave` tells).
    AudioUnreadable or AudioNonfinite (exit 3) otherwise.
    """
    info = probe_wave(path)
    if channel is not None and not 0 <= channel < info.channels:
        raise ValueError(f"channel {channel} of a file with {info.channels} channels")
    blocks = [np.zeros(0, np.float32)]
    for wave_NC in blocks_of(path):
        mono_N = wave_NC.mean(axis=1, dtype=np.float64) if channel is None else wave_NC[:, channel]
        blocks.append(mono_N.astype(np.float32))
    return np.concatenate(blocks), info.rate_hz


def blocks_of(path: Path) -> Iterator[np.ndarray]:
    """Yield a sound file in blocks [N, channels] float32, so that many channels are never held whole.

    AudioUnreadable or AudioNonfinite (exit 3) as `read_wave`.
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

    AudioUnreadable (exit 3) for two rates between which that would take gigabytes.
    """
    if from_hz == to_hz:
        return wave_N
    shared = math.gcd(from_hz, to_hz)
    if (from_hz // shared) * (to_hz // shared) > MAX_FILTER:
        raise AudioUnreadable(
            f"the sound cannot be read: its rate of {from_hz} Hz is too odd to be brought to {to_hz} Hz",
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
    """Encode mono sound as 16-bit FLAC: the same wave gives the same bytes, and 16-bit sound comes back exactly.

    Values beyond full scale are clipped to it. ValueError where a sample is not finite.
    """
    import soundfile

    if not np.isfinite(wave_N).all():
        raise ValueError("a wave with NaN or infinite samples cannot be encoded")
    samples_N = np.clip(np.rint(wave_N.astype(np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    out = io.BytesIO()
    soundfile.write(out, samples_N, rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def read_flac(data: bytes) -> tuple[np.ndarray, int]:
    """Decode `flac_bytes`: (wave_N float32, rate_hz); DataError (exit 3) where the bytes are not whole."""
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
    """Open a sound file; every fault of it becomes one typed error."""
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
    """Return how many samples a channel a wav header promises, None where it is no wav or says nothing.

    libsndfile quietly trims a promise to what the file holds, so the header is read here.
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
