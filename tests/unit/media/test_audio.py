"""Sound: mono float32 in, exact 16-bit FLAC out, and the same bytes every time."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError
from foalnet.media import AudioUnreadable, flac_bytes, probe_wave, read_flac, read_wave, resample
from tests.support.marks import red_when


def tone(rate_hz: int, *, seconds: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.float32)


def test_sixteen_bit_sound_is_read_and_written_exactly(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    samples[:2] = -32768, 32767
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="PCM_16")
    wave, rate_hz = read_wave(tmp_path / "a.wav")
    assert wave.dtype == np.float32 and rate_hz == 16000 and wave.min() == -1.0
    back, back_hz = read_flac(flac_bytes(wave, rate_hz))
    assert back_hz == 16000 and np.array_equal(back, wave)
    assert np.array_equal((back * 32768).astype(np.int16), samples)


def test_two_encodes_are_equal_and_the_sound_matters() -> None:
    wave = tone(16000)
    assert flac_bytes(wave, 16000) == flac_bytes(wave.copy(), 16000) != flac_bytes(wave[1:], 16000)


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=50))
def test_any_finite_wave_comes_back_within_half_a_step(values: list[float]) -> None:
    wave = np.array(values, np.float32)
    back, _ = read_flac(flac_bytes(wave, 16000))
    assert len(back) == len(wave)
    assert np.abs(back - np.clip(wave, -1.0, 32767 / 32768)).max() <= 0.5 / 32768 + 1e-7


def test_a_wave_with_nan_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="NaN"):
        flac_bytes(np.array([0.0, np.nan], np.float32), 16000)


@pytest.mark.parametrize("cut", [0, 3, 40, -10])
def test_flac_bytes_that_are_not_whole_are_refused(cut: int) -> None:
    with pytest.raises(DataError):
        read_flac(flac_bytes(tone(16000), 16000)[:cut])


def test_a_channel_can_be_chosen_and_the_rest_is_averaged(tmp_path: Path) -> None:
    stereo = np.stack([tone(16000), np.zeros(8000, np.float32)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    assert np.allclose(read_wave(tmp_path / "a.wav")[0], stereo[:, 0] / 2)
    assert np.array_equal(read_wave(tmp_path / "a.wav", channel=0)[0], stereo[:, 0])
    with pytest.raises(ValueError, match="channel 2"):
        read_wave(tmp_path / "a.wav", channel=2)


def test_the_same_rate_is_not_touched() -> None:
    wave = tone(16000)
    assert resample(wave, 16000, 16000) is wave


def test_a_resampled_tone_is_the_tone_at_the_other_rate() -> None:
    out = resample(tone(44100), 44100, 16000)
    assert out.dtype == np.float32 and len(out) == 8000
    assert np.abs(out - tone(16000))[200:-200].max() < 2e-3
    assert np.array_equal(out, resample(tone(44100), 44100, 16000))


def test_resampling_keeps_nothing_above_the_new_limit() -> None:
    assert np.abs(resample(tone(44100, hz=12000.0), 44100, 16000))[200:-200].max() < 2e-2


@red_when("media/audio.py", "the header is not read")
def test_t33_a_header_that_declares_more_sound_than_exists_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000), 16000, subtype="PCM_16")
    whole = probe_wave(path)
    assert (whole.samples, whole.channels, whole.encoding, whole.truncated) == (8000, 1, "PCM_16", False)
    path.write_bytes(path.read_bytes()[:-6000])
    short = probe_wave(path)
    assert (short.samples, short.declared_samples, short.truncated) == (5000, 8000, True)
    assert len(read_wave(path)[0]) == 5000


def test_a_header_with_odd_chunks_before_the_data_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000), 16000, subtype="PCM_16")
    data = path.read_bytes()
    at = data.index(b"data")
    path.write_bytes(data[:at] + b"note" + struct.pack("<I", 3) + b"abc\0" + data[at:])
    assert (probe_wave(path).declared_samples, probe_wave(path).truncated) == (8000, False)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not a sound file at all " * 20])
def test_what_is_no_sound_file_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    for read in (read_wave, probe_wave):
        with pytest.raises(AudioUnreadable) as error:
            read(path)
        assert error.value.reason == "wav_unreadable" and error.value.file == str(path)


def test_a_missing_file_and_another_format_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadable, match="no such file"):
        read_wave(tmp_path / "none.wav")
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000, format="OGG", subtype="VORBIS")
    with pytest.raises(AudioUnreadable, match="OGG"):
        read_wave(tmp_path / "a.wav")
