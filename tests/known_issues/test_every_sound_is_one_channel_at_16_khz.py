"""A sound of any rate, form and number of channels is the same sound in the shards; a param says who is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydantic
import pytest
import soundfile

from foalnet.clips.sound import SoundCutter
from foalnet.clips.spool import Spool
from foalnet.config.blocks import Shards
from foalnet.core.errors import UsageError
from foalnet.core.ledger import Ledger
from foalnet.media import Track, probe_wave, read_flac
from foalnet.media.extract import probe_track
from foalnet.predict.request import Request
from tests.support.corpus import flash
from tests.support.corpus.flash import RATE_HZ, X264, cut, encode
from tests.support.corpus.rows import utterance
from tests.support.corpus.videos import ffmpeg, write_clip
from tests.support.models import model_of

STEPS = 3 / 32768
SUBTYPES = {"PCM_U8": 2 / 128, "PCM_16": STEPS, "PCM_24": STEPS, "PCM_32": STEPS, "FLOAT": STEPS, "DOUBLE": STEPS}
IN_CONTAINER = {
    "24_bit.mkv": ("-c:a", "pcm_s24le"),
    "float.mov": ("-c:a", "pcm_f32le"),
    "44_1_khz.mp4": ("-ar", "44100", "-c:a", "aac"),
    "22_khz.mkv": ("-ar", "22050", "-c:a", "flac"),
    "surround.mkv": ("-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", "-c:a", "flac"),
    "8_khz.mov": ("-ar", "8000", "-c:a", "pcm_mulaw"),
}


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    """A tone of half the full scale."""
    wave_N: np.ndarray = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    return wave_N


def staged(
    folder: Path, name: str, *, side: str = "whole", recording: bool = False, **shards: object
) -> tuple[np.ndarray | None, list[tuple[str, str]]]:
    """Cut one second of a sound; return it at 16 kHz, None if it is dropped, and the ledger's (reason, detail)."""
    place = {"audio": None, "dialogue_audio": name} if recording else {"audio": name}
    u = utterance("u", side=side, start_s=0.0, end_s=1.0, **place)
    ledger, spool = Ledger(), Spool()
    params = Shards.model_validate(shards)
    sound = SoundCutter(root=folder, present=frozenset({name}), params=params, ledger=ledger, spool=spool).cut(u)
    rows = [(line.reason, line.detail) for line in ledger.entries]
    return None if sound is None else read_flac(sound.flac.joined())[0], rows


def pitch_hz(wave_N: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave_N * np.hanning(wave_N.size))).argmax() * 16000 / wave_N.size)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_wav_of_any_form_is_the_same_tone(tmp_path: Path, subtype: str, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, rate_hz), rate_hz, subtype=subtype)
    wave_N, rows = staged(tmp_path, "a.wav")
    assert wave_N is not None and wave_N.size == 16000
    inner = slice(800, -800)  # the resampler's filter reaches over the ends
    np.testing.assert_allclose(
        wave_N[inner], tone(440, 16000)[inner], atol=SUBTYPES[subtype] + 2e-3 * (rate_hz != 16000)
    )
    assert rows == ([] if rate_hz == 16000 else [("audio_resampled", f"from {rate_hz} Hz")])


@pytest.mark.parametrize("name", ["wavex.wav", "rf64.wav", "24_bit.flac"])
def test_other_headers_hold_the_same_sound(tmp_path: Path, name: str) -> None:
    form = {"wavex.wav": "WAVEX", "rf64.wav": "RF64", "24_bit.flac": "FLAC"}[name]
    soundfile.write(tmp_path / name, tone(440, 16000), 16000, subtype="PCM_24", format=form)
    wave_N, rows = staged(tmp_path, name)
    assert wave_N is not None and rows == []
    np.testing.assert_allclose(wave_N, tone(440, 16000), atol=STEPS)


@pytest.mark.parametrize("name", IN_CONTAINER)
def test_the_sound_of_a_container_of_any_form_is_the_same_tone(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, RATE_HZ), RATE_HZ)
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1")
    ffmpeg(*source, "-i", str(tmp_path / "a.wav"), *X264, *IN_CONTAINER[name], str(tmp_path / name))
    wave_N, _ = staged(tmp_path, name)
    assert wave_N is not None and abs(wave_N.size / 16000 - 1.0) < 0.05
    assert pitch_hz(wave_N) == pytest.approx(440, abs=2)
    assert np.abs(wave_N[2000:-2000]).max() == pytest.approx(0.5, abs=0.03)


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """The left person is heard at 300 Hz in the left channel, the right one at 700 Hz in the right channel."""
    both_NC = np.stack([tone(300, 16000), tone(700, 16000)], axis=1)
    soundfile.write(tmp_path / "two.wav", both_NC, 16000, subtype="PCM_16")
    soundfile.write(tmp_path / "one.wav", tone(500, 16000), 16000, subtype="PCM_16")
    return tmp_path


@pytest.mark.parametrize("recording", [False, True], ids=["own file", "recording"])
def test_the_speaker_is_heard_in_the_channel_of_its_side(two_people: Path, *, recording: bool) -> None:
    for side, hz in (("left", 300), ("right", 700)):
        wave_N, rows = staged(two_people, "two.wav", side=side, recording=recording, channel="speaker")
        assert wave_N is not None and pitch_hz(wave_N) == pytest.approx(hz, abs=2)
        assert "channel_shared" not in dict(rows)


@pytest.mark.parametrize("recording", [False, True], ids=["own file", "recording"])
@pytest.mark.parametrize(("name", "side"), [("two.wav", "whole"), ("one.wav", "left"), ("one.wav", "right")])
def test_where_no_channel_is_the_speakers_the_mean_is_used_and_counted(
    two_people: Path, name: str, side: str, *, recording: bool
) -> None:
    by_mean, _ = staged(two_people, name, side=side, recording=recording)
    by_speaker, rows = staged(two_people, name, side=side, recording=recording, channel="speaker")
    assert by_mean is not None and by_speaker is not None
    np.testing.assert_array_equal(by_speaker, by_mean)
    assert "channel_shared" in dict(rows)


def test_each_utterance_of_a_recording_has_its_own_channel_and_count(two_people: Path) -> None:
    ledger, spool = Ledger(), Spool()
    cutter = SoundCutter(
        root=two_people, present=frozenset({"two.wav"}), params=Shards(channel="speaker"), ledger=ledger, spool=spool
    )
    heard = []
    for key, side in (("a", "left"), ("b", "right"), ("c", "left"), ("d", "whole"), ("e", "whole")):
        sound = cutter.cut(utterance(key, side=side, start_s=0.0, end_s=1.0, audio=None, dialogue_audio="two.wav"))
        assert sound is not None
        heard.append(round(pitch_hz(read_flac(sound.flac.joined())[0]), -2))
    assert heard[:3] == [300, 700, 300]
    assert [line.item for line in ledger.entries if line.reason == "channel_shared"] == ["d", "e"]


def test_the_audit_of_sides_and_the_speakers_channel_exclude_each_other() -> None:
    with pytest.raises(pydantic.ValidationError, match="channel: speaker needs the sides"):
        Shards(channel="speaker", sides="audit")


def test_predict_hears_each_person_in_the_channel_of_its_side(tmp_path: Path) -> None:
    both_NC = np.stack([tone(300, 16000), tone(700, 16000)], axis=1)
    soundfile.write(tmp_path / "two.wav", both_NC, 16000, subtype="PCM_16")
    silent = write_clip(tmp_path / "silent.mp4", sound=False, size="640x240")
    clip = tmp_path / "clip.mkv"
    ffmpeg("-i", str(silent), "-i", str(tmp_path / "two.wav"), "-c:v", "copy", "-c:a", "flac", str(clip))
    model = model_of(tmp_path / "trained so", variant="audio_only", shards={"channel": "speaker"})
    left, right = model.predict(clip, people=2)
    assert left.probabilities == model.predict(clip, channel="left")[0].probabilities
    assert right.probabilities == model.predict(clip, channel="right")[0].probabilities
    assert left.probabilities != right.probabilities
    other = model_of(tmp_path / "trained otherwise", variant="audio_only")
    assert [one.probabilities for one in other.predict(clip, people=2, channel="speaker")] == [
        left.probabilities, right.probabilities,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="channel is 'loudest'"):
        Request(clip=clip, channel="loudest")


def test_a_track_says_where_it_is(tmp_path: Path) -> None:
    flash.write_sources(tmp_path)
    clip = encode(tmp_path, "late.mkv", *X264, "-c:a", "flac", sound_late_s=0.25)
    place = probe_track(clip)
    assert place == Track(
        start_us=0, begin_s=pytest.approx(0.25, abs=0.002), end_s=pytest.approx(2.25, abs=0.002),
        picture_end_s=pytest.approx(2.0, abs=0.002), others=0,
    )  # fmt: skip
    assert not place.ends_early and cut(clip).wave_N.size == probe_wave(tmp_path / "beep.wav").samples // 3 + 4000
