"""What the pinned decoder reads is read: common containers, recordings with a cover, tracks; playlists never."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet.core.errors import DataError
from foalnet.media import Streams, VideoUnreadable, decode_indexed, extract_sound, probe_streams, probe_times, read_wave
from tests.support.corpus.videos import ffmpeg, number_of, numbered_video
from tests.support.models import model_of

RATE_HZ = 16000
FRAMES = 25
# FLV holds no other rates of MP3.
RATES = {"clip.flv": "44100"}
VIDEO = {
    "clip.webm": ("libvpx", "libopus"),
    "nine.webm": ("libvpx-vp9", "libvorbis"),
    "clip.mkv": ("libx264", "aac"),
    "clip.ts": ("libx264", "aac"),
    "clip.m2ts": ("libx264", "ac3"),
    "clip.flv": ("flv", "libmp3lame"),
    "clip.wmv": ("wmv2", "wmav2"),
}
SOUND = {
    "clip.mp3": "libmp3lame",
    "clip.ogg": "libvorbis",
    "clip.opus": "libopus",
    "clip.aac": "aac",
    "clip.m4a": "aac",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of a tone as tone.wav, one second of numbered frames as film.avi, a cover as cover.png."""
    folder = tmp_path_factory.mktemp("containers")
    time_N = np.arange(RATE_HZ) / RATE_HZ
    soundfile.write(folder / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time_N), RATE_HZ, subtype="PCM_16")
    numbered_video(folder / "film.avi", FRAMES, "-q:v", "1", rate="25")
    ffmpeg("-i", str(folder / "film.avi"), "-frames:v", "1", str(folder / "cover.png"))
    return folder


def made(folder: Path, name: str, *inputs: str, options: tuple[str, ...]) -> Path:
    """Write a file with the wheel's ffmpeg from files of the folder."""
    sources = [argument for source in inputs for argument in ("-i", str(folder / source))]
    ffmpeg(*sources, *options, str(folder / name))
    return folder / name


def heard(path: Path, out: Path) -> np.ndarray:
    """Return the sound of a container at its own rate, checked to be the tone."""
    extract_sound(path, out)
    wave_N, rate_hz = read_wave(out)
    spectrum = np.abs(np.fft.rfft(wave_N * np.hanning(len(wave_N))))
    assert abs(spectrum.argmax() * rate_hz / len(wave_N) - 440) < 3
    assert abs(len(wave_N) / rate_hz - 1.0) < 0.15
    return wave_N


@pytest.mark.parametrize("name", VIDEO)
def test_every_frame_and_the_sound_of_a_container_come_out(folder: Path, tmp_path: Path, name: str) -> None:
    video, audio = VIDEO[name]
    options = (
        "-c:v",
        video,
        "-b:v",
        "2M",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        audio,
        "-ar",
        RATES.get(name, "48000"),
        "-shortest",
    )
    path = made(folder, name, "film.avi", "tone.wav", options=(*options, "-shortest"))
    assert probe_streams(path) == Streams(container=True, picture=True, tracks=1)
    info = probe_times(path)
    assert not info.truncated and (info.width_px, info.height_px) == (128, 96)
    frames = dict(decode_indexed(path, info))
    assert [number_of(frames[i]) for i in range(len(info.times_s))] == list(range(len(info.times_s)))
    assert FRAMES - 1 <= len(info.times_s) <= FRAMES
    np.testing.assert_allclose(np.diff(info.times_s), 0.04, atol=0.0011)
    heard(path, tmp_path / "out.wav")


@pytest.mark.parametrize("name", SOUND)
def test_recordings_of_sound_alone_are_heard(folder: Path, tmp_path: Path, name: str) -> None:
    path = made(folder, name, "tone.wav", options=("-c:a", SOUND[name]))
    assert probe_streams(path) == Streams(container=True, picture=False, tracks=1)
    heard(path, tmp_path / "out.wav")


@pytest.mark.parametrize(("name", "audio"), [("covered.m4a", "aac"), ("covered.mp3", "libmp3lame")])
def test_a_cover_is_no_video(folder: Path, tmp_path: Path, name: str, audio: str) -> None:
    options = ("-map", "0:a", "-map", "1:v", "-c:a", audio, "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    path = made(folder, name, "tone.wav", "cover.png", options=options)
    assert probe_streams(path) == Streams(container=True, picture=False, tracks=1)
    heard(path, tmp_path / "out.wav")
    [said] = model_of(tmp_path / "model").predict(path)
    assert (said.sound, said.picture) == ("found", "none") and "no picture: the clip has none" in said.notes


def test_a_video_behind_its_cover_is_the_video(folder: Path, tmp_path: Path) -> None:
    options = ("-map", "1:v", "-map", "0:v", "-c:v:0", "mjpeg", "-c:v:1", "libx264", "-pix_fmt:v:1", "yuv420p")
    path = made(
        folder, "cover_first.mp4", "film.avi", "cover.png", options=(*options, "-disposition:v:0", "attached_pic")
    )
    assert probe_streams(path) == Streams(container=True, picture=True, tracks=0)
    info = probe_times(path)
    assert len(info.times_s) == FRAMES
    assert [number_of(frame) for _, frame in decode_indexed(path, info)] == list(range(FRAMES))


def test_a_sound_track_is_chosen_by_number(folder: Path, tmp_path: Path) -> None:
    silence = np.zeros(RATE_HZ)
    soundfile.write(folder / "zeros.wav", silence, RATE_HZ, subtype="PCM_16")
    options = ("-map", "0:a", "-map", "1:a", "-c:a", "flac")
    path = made(folder, "two.mkv", "zeros.wav", "tone.wav", options=options)
    model = model_of(tmp_path, variant="audio_only")
    with pytest.raises(DataError, match="its sound is silent"):
        model.predict(path)
    [said] = model.predict(path, track=2)
    assert said.sound == "found" and said.notes == ("of 2 sound tracks, track 2 is heard (--track)",)
    assert said.probabilities == model.predict(folder / "tone.wav")[0].probabilities
    with pytest.raises(DataError, match="2 sound track"):
        model.predict(path, track=3)


def test_sound_and_picture_that_end_far_apart_are_noted(folder: Path, tmp_path: Path) -> None:
    soundfile.write(folder / "long.wav", np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ), RATE_HZ)
    path = made(folder, "apart.avi", "film.avi", "long.wav", options=("-c", "copy"))
    [said] = model_of(tmp_path).predict(path)
    assert "sound and picture end apart: 3.00 s of sound and 1.00 s of picture are used" in said.notes
    [said] = model_of(tmp_path).predict(made(folder, "even.avi", "film.avi", "tone.wav", options=("-c", "copy")))
    assert not any("apart" in note for note in said.notes)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.ts", "#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n", "a playlist"),
        ("a.mp3", "[playlist]\nFile1=file://{secret}\n", "a playlist"),
        ("a.mkv", "ffconcat version 1.0\nfile {secret}\n", "a concat script"),
        ("a.webm", "<?xml version='1.0'?><MPD><BaseURL>file://{secret}</BaseURL></MPD>", "not AVI, MOV"),
    ],
)
def test_playlists_and_scripts_are_refused_by_name(
    folder: Path, tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content.format(secret=folder / "film.avi"))
    for read in (probe_streams, probe_times):
        with pytest.raises(VideoUnreadable, match=said):
            read(tmp_path / name)
