"""A clip's streams and the sound of a container: exact, restricted to its file, on the container's timeline."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet.core.errors import MachineError
from foalnet.media import Streams, VideoUnreadable, extract_sound, probe_streams, read_wave
from foalnet.media import extract as extract_module
from tests.support.corpus.videos import ffmpeg, numbered_video
from tests.support.marks import red_when

RATE_HZ = 16000


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of 16-bit stereo noise."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    samples = np.random.default_rng(3).integers(-20000, 20000, (RATE_HZ, 2)).astype(np.int16)
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    return path


def write_clip(path: Path, noise: Path, *options: str) -> Path:
    """A video of 30 frames with the noise as its sound track."""
    silent = numbered_video(path.with_name(f"silent_{path.name}"), 30)
    ffmpeg("-i", f"file:{silent}", *options, "-i", f"file:{noise}", "-c", "copy", f"file:{path}")
    return path


def test_streams_are_detected_by_bytes_and_not_by_name(tmp_path: Path, noise: Path) -> None:
    assert probe_streams(write_clip(tmp_path / "a.avi", noise)) == Streams(container=True, picture=True, tracks=1)
    silent = numbered_video(tmp_path / "s.mp4", 5)
    assert probe_streams(silent) == Streams(container=True, picture=True, tracks=0)
    ffmpeg("-i", f"file:{noise}", "-c:a", "aac", f"file:{tmp_path / 'voice.m4a'}")
    assert probe_streams(tmp_path / "voice.m4a") == Streams(container=True, picture=False, tracks=1)
    renamed = tmp_path / "sound.mp4"
    renamed.write_bytes(noise.read_bytes())
    assert probe_streams(renamed) == Streams(container=False, picture=False, tracks=1)


def test_pcm_comes_out_exactly_and_is_averaged_as_every_sound_is(tmp_path: Path, noise: Path) -> None:
    extract_sound(write_clip(tmp_path / "a.avi", noise), tmp_path / "out.wav")
    actual, expected = read_wave(tmp_path / "out.wav"), read_wave(noise)
    assert actual[1] == expected[1] and np.array_equal(actual[0], expected[0])


def test_a_late_track_keeps_its_place_on_the_timeline(tmp_path: Path, noise: Path) -> None:
    late = write_clip(tmp_path / "late.mov", noise, "-itsoffset", "0.5")
    extract_sound(late, tmp_path / "out.wav")
    wave_N, _ = read_wave(tmp_path / "out.wav")
    first = int(np.flatnonzero(np.abs(wave_N) > 0.01)[0])
    assert abs(first - RATE_HZ // 2) < RATE_HZ // 100, "half a second of silence stands before it"


def test_no_more_is_decoded_than_requested(tmp_path: Path, noise: Path) -> None:
    extract_sound(write_clip(tmp_path / "a.avi", noise), tmp_path / "out.wav", stop_s=0.25)
    assert len(read_wave(tmp_path / "out.wav")[0]) == RATE_HZ // 4


def test_a_video_without_sound_is_an_error_and_not_silence(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="sound"):
        extract_sound(numbered_video(tmp_path / "s.mp4", 5), tmp_path / "out.wav")


@red_when("media/container.py", "text gets the demuxer that it asks for")
@pytest.mark.parametrize("kind", ["playlist", "concat", "empty", "text"])
def test_t26_text_disguised_as_mp4_is_not_opened(tmp_path: Path, noise: Path, kind: str) -> None:
    secret = write_clip(tmp_path / "secret.mov", noise)
    content = {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "empty": "",
        "text": "nothing",
    }
    path = tmp_path / "clip.mp4"
    path.write_text(content[kind])
    with pytest.raises(VideoUnreadable):
        probe_streams(path)
    with pytest.raises(VideoUnreadable):
        extract_sound(path, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


@red_when("media/video.py", "the demuxer is not forced")
@pytest.mark.parametrize("kind", ["playlist", "concat"])
def test_t26_the_second_wall_holds_without_the_first(
    tmp_path: Path, noise: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = write_clip(tmp_path / "secret.mov", noise)
    path = tmp_path / "clip.mp4"
    path.write_text(
        f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
        if kind == "playlist"
        else f"ffconcat version 1.0\nfile {secret.name}\n"
    )
    for module in (extract_module, sys.modules["foalnet.media.video"]):
        monkeypatch.setattr(module, "choose_demuxer", lambda path: "mov")
    with pytest.raises(VideoUnreadable):
        probe_streams(path)
    with pytest.raises(VideoUnreadable):
        extract_sound(path, tmp_path / "out.wav")


@red_when("media/container.py", "the name is given without its protocol")
def test_t27_an_odd_name_is_only_a_name(tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_clip(tmp_path / "a.avi", noise).read_bytes()
    monkeypatch.chdir(tmp_path)
    for name in ("-y.avi", "a;b|c&d$(e).avi", "pipe:1.avi", "new\nline.avi", "é%d.avi", "not UTF-8 \udcff.avi"):
        Path(name).write_bytes(source)
        extract_sound(Path(name), Path(f"{name}.wav"))
        assert len(read_wave(Path(f"{name}.wav"))[0]) == RATE_HZ


def test_a_decoder_that_hangs_is_killed_and_said_so(
    tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "a.avi", noise)
    hanging = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(extract_module, "sound_command", lambda *_: hanging)
    with pytest.raises(MachineError, match=r"over 0\.3 s"):
        extract_sound(clip, tmp_path / "out.wav", timeout_s=0.3)
