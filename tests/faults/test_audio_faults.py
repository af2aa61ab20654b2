"""Sound that is odd or broken: T34, T35, T38."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet.media import AudioNonfinite, flac_bytes, probe_wave, read_flac, read_wave, resample
from tests.support.marks import red_when


def tone(rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(round(rate_hz * seconds)) / rate_hz)


@red_when("media/audio.py", "`resample` gives back what it is given")
@pytest.mark.parametrize("rate_hz", [8000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_t34_other_rates_channels_and_encodings_become_the_same_sound(
    tmp_path: Path, rate_hz: int, channels: int, encoding: str
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(rate_hz)] * channels, axis=1), rate_hz, subtype=encoding)
    info = probe_wave(path)
    # These show what was repaired; the caller writes the ledger's entry.
    assert (info.rate_hz, info.channels, info.encoding) == (rate_hz, channels, encoding)
    wave, actual_hz = read_wave(path)
    out = resample(wave, actual_hz, 16000)
    assert out.shape == (16000,) and out.dtype == np.float32
    assert np.abs(out - tone(16000))[200:-200].max() < (0.02 if encoding == "PCM_U8" else 0.003)


@red_when("media/audio.py", "NaN and infinite samples are not looked for")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_t35_nan_or_inf_is_refused_with_its_place(tmp_path: Path, bad: float, channels: int) -> None:
    path = tmp_path / "a.wav"
    wave = np.stack([tone(16000)] * channels, axis=1)
    wave[8000, channels - 1] = bad
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    with pytest.raises(AudioNonfinite, match=r"first at 0\.500 s") as error:
        read_wave(path)
    assert error.value.reason == "audio_nonfinite" and error.value.file == str(path)


@red_when("media/audio.py", "the last sample is not encoded")
@pytest.mark.parametrize("samples", [1, 399, 400, 401, 640])
def test_t38_very_short_clips_survive_the_way_through(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000)[:samples], 16000, subtype="PCM_16")
    wave, rate_hz = read_wave(path)
    back, _ = read_flac(flac_bytes(wave, rate_hz))
    assert np.array_equal(back, wave) and len(back) == samples
    up = resample(back, 16000, 44100)
    assert len(up) == -(-samples * 441 // 160) and np.isfinite(up).all()
