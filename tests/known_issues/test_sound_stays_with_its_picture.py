"""What is seen and heard together in a clip is staged together, whatever its container says of their beginnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.core.errors import FoalnetError
from tests.support.corpus import flash
from tests.support.corpus.flash import AAC, CONTAINERS, FRAME_S, RATE_HZ, X264, cut, encode
from tests.support.corpus.videos import ffmpeg

# The longest packet of the codecs here; a decoder may return that much before the sound.
PACKET_S = 0.05
LATE_S = 0.4
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p", *AAC)
# An AVI holds neither a late sound nor times of frames.
DELAYED = {name: options for name, options in CONTAINERS.items() if name not in ("avi", "wmv")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flash.write_sources(tmp_path_factory.mktemp("flash"))


@pytest.mark.parametrize("ending", CONTAINERS)
def test_flash_and_beep_fall_together(folder: Path, ending: str) -> None:
    clip = encode(folder, f"together.{ending}", *CONTAINERS[ending])
    for seen in (cut(clip), cut(clip, 0.8, 1.6)):
        np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
        np.testing.assert_allclose(seen.flash_s, (1.0, 1.2), atol=PACKET_S)
        assert not seen.entries.keys() & {"sound_begins_late", "sound_ends_early"}


@pytest.mark.parametrize("ending", DELAYED)
def test_a_sound_that_begins_late_stays_late_and_is_counted(folder: Path, ending: str) -> None:
    clip = encode(folder, f"late.{ending}", *DELAYED[ending], sound_late_s=LATE_S)
    for seen in (cut(clip), cut(clip, 0.2, 1.8)):
        assert seen.beep_s[0] - seen.flash_s[0] == pytest.approx(LATE_S, abs=FRAME_S)
        assert "sound_begins_late" in seen.entries
    assert not cut(clip).wave_N[: round(0.3 * 16000)].any(), "silence stands where there is no sound"


@pytest.mark.parametrize("ending", [*DELAYED, "hevc.ts"])
def test_a_picture_that_begins_late_stays_late(folder: Path, ending: str) -> None:
    clip = encode(folder, f"picture_late.{ending}", *DELAYED.get(ending, HEVC), picture_late_s=LATE_S)
    for seen in (cut(clip), cut(clip, 0.8, 1.9)):
        assert seen.flash_s[0] - seen.beep_s[0] == pytest.approx(LATE_S, abs=FRAME_S)
        assert seen.flash_s[1] - seen.flash_s[0] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "ts"])
def test_a_sound_that_ends_early_is_followed_by_silence_and_counted(folder: Path, ending: str) -> None:
    soundfile.write(folder / "short.wav", flash.beep()[: round(1.3 * RATE_HZ)], RATE_HZ)
    clip = encode(folder, f"short.{ending}", *CONTAINERS[ending], sound="short.wav")
    whole, span = cut(clip), cut(clip, 0.8, 1.9)
    assert whole.wave_N.size / 16000 == pytest.approx(media.length_s(clip), abs=0.001)
    assert span.wave_N.size == round(1.1 * 16000)
    for seen in (whole, span):
        np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
        assert float(seen.entries["sound_ends_early"].split()[0]) > 0.5
        assert not {"length_differs", "segment_clamped"} & seen.entries.keys()
    assert not whole.wave_N[-8000:].any()
    nothing = cut(clip, 1.5, 1.9)
    assert {"sound_ends_early", "sound_silent"} <= nothing.entries.keys() and len(nothing.times_s) == 10


def test_a_sound_that_ends_behind_the_picture_is_kept_and_counted(folder: Path) -> None:
    soundfile.write(folder / "long.wav", np.concatenate([flash.beep(), np.zeros(RATE_HZ)]), RATE_HZ)
    seen = cut(encode(folder, "long.mp4", *CONTAINERS["mp4"], sound="long.wav"))
    np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
    assert (
        seen.wave_N.size / 16000 == pytest.approx(3.0, abs=PACKET_S)
        and seen.entries["length_differs"] == "+1.000 s against the label"
    )


def test_an_edit_list_cuts_both(folder: Path) -> None:
    whole = encode(folder, "whole.mp4", *X264, "-g", "25", "-bf", "2", *AAC)
    ffmpeg("-ss", "0.7", "-i", str(whole), "-c", "copy", str(folder / "cut.mp4"))
    seen = cut(folder / "cut.mp4")
    np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
    np.testing.assert_allclose(seen.beep_s, (0.3, 0.5), atol=FRAME_S)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_timeline_that_does_not_start_at_zero_is_counted_from_its_start(folder: Path, ending: str) -> None:
    seen = cut(encode(folder, f"offset.{ending}", *X264, *AAC, "-output_ts_offset", "3"))
    np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
    np.testing.assert_allclose(seen.beep_s, (1.0, 1.2), atol=PACKET_S)


@pytest.mark.parametrize("sound", ["libmp3lame", "aac", "libvorbis", "flac"])
def test_a_gap_in_the_sound_moves_nothing_after_it(folder: Path, sound: str) -> None:
    # Players fill a hole in the sound; what is behind it must not be heard earlier.
    gap = ("-af", "aselect='not(between(t,0.3,0.6))'", "-fps_mode", "passthrough")
    seen = cut(encode(folder, f"gap_{sound}.mkv", *X264, *gap, "-c:a", sound))
    np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", ("-c:a", "libmp3lame")),
        ("estimated.mp3", ("-c:a", "libmp3lame", "-q:a", "2", "-write_xing", "0", "-id3v2_version", "0")),
        ("a.aac", AAC),
        ("a.m4a", AAC),
        ("a.ogg", ("-c:a", "libvorbis")),
        ("a.opus", ("-c:a", "libopus")),
        ("a.wma", ("-c:a", "wmav2")),
    ],
)
def test_the_length_of_a_recording_is_that_of_its_sound(folder: Path, name: str, options: tuple[str, ...]) -> None:
    clip = folder / name
    ffmpeg("-i", str(folder / "beep.wav"), *options, str(clip))
    with media.sound_file(clip, folder) as (wave, _):
        info = media.probe_wave(wave)
    assert media.length_s(clip) == pytest.approx(info.samples / info.rate_hz, abs=0.05)
    assert media.length_s(clip) == pytest.approx(2.0, abs=PACKET_S)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 3 // 4])
    try:
        length_s = media.length_s(clip)
    except FoalnetError as error:
        assert error.exit_code == 3
    else:
        assert length_s < 1.9, "a truncated file is as long as what is left of it"


def test_the_first_picture_and_the_first_sound_are_used_and_the_others_counted(folder: Path) -> None:
    clip = folder / "several.mkv"
    other = ("-f", "lavfi", "-i", "color=red:s=64x48:r=25:d=2", "-f", "lavfi", "-i", "sine=220:d=2")
    maps = [argument for stream in ("1:v", "2:a", "3:v", "0:a") for argument in ("-map", stream)]
    # The default flag and the larger picture, by which players choose, change nothing.
    flags = (
        "-disposition:v:0",
        "0",
        "-disposition:v:1",
        "default",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default",
    )
    source, sound = ("-i", str(folder / "picture.mkv")), ("-i", str(folder / "beep.wav"))
    for codec in (X264, HEVC[:-2]):
        ffmpeg("-f", "lavfi", "-i", "sine=220:d=2", *source, *sound, *other[:4], *maps, *codec, *AAC, *flags, str(clip))
        seen = cut(clip)
        assert seen.size == (160, 120) and seen.entries["streams_not_used"] == "2"
        np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
