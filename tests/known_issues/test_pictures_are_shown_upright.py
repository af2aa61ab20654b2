"""Pictures come out as a player shows them: upright, in square pixels, each at its own time, whatever the codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foalnet import media
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from tests.support.corpus import flash
from tests.support.corpus.flash import AAC, FRAME_S, X264, cut, encode, quarters
from tests.support.corpus.videos import ffmpeg, number_of, numbered, write_video

SVT = ("-c:v", "libsvtav1", "-svtav1-params", "fast-decode=0", *AAC)
X265 = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt")
# File -> codecs, and pixel formats other than the 8-bit yuv420p of `Picture`.
CODECS = {
    "h264.mp4": (*X264, *AAC),
    "hevc.mp4": (*X265, "yuv420p", *AAC),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "2M", "-c:a", "libopus"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "2M", "-c:a", "libopus"),
    "av1.mp4": SVT,
    "av1.mkv": ("-c:v", "libaom-av1", "-cpu-used", "8", "-c:a", "libopus"),
    "prores.mov": ("-c:v", "prores", "-c:a", "pcm_s16le"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-q:v", "2", "-c:a", "pcm_s16le"),
    "h264_10_bit.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", *AAC),
    "hevc_10_bit.mp4": (*X265, "yuv420p10le", *AAC),
    "h264_444.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv444p", *AAC),
    "full_range.mp4": (*X264, "-vf", "scale=out_range=full", "-color_range", "pc", *AAC),
    "interlaced.mp4": ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1", "-pix_fmt", "yuv420p", *AAC),
}  # fmt: skip
# What the container says of the stored picture -> where its upper left and lower left quarters are shown.
TURNS = {
    "display_rotation 90": ("lower left", "lower right"),
    "display_rotation 180": ("lower right", "upper right"),
    "display_rotation 270": ("upper right", "upper left"),
    "display_hflip": ("upper right", "lower right"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flash.write_sources(tmp_path_factory.mktemp("flash"))


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_every_frame_at_its_time(folder: Path, name: str) -> None:
    seen = cut(encode(folder, name, *CODECS[name]))
    assert seen.size == (160, 120)
    np.testing.assert_allclose(seen.times_s, np.arange(flash.FRAMES) / flash.FPS, atol=0.001)
    np.testing.assert_allclose(seen.flash_s, (1.0, 1.2), atol=0.001)
    np.testing.assert_allclose(seen.beep_s, seen.flash_s, atol=FRAME_S)
    [frame] = [frame for index, frame in frames(folder / name) if index == 27]
    # Both readers' colours are those of the source: the same grey from each.
    np.testing.assert_allclose(
        list(quarters(frame).values()), list(quarters(flash.picture(27)).values()), atol=12, err_msg=name
    )


def frames(path: Path) -> list[tuple[int, np.ndarray]]:
    return list(media.decode_indexed(path, media.probe_times(path)))


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_or_mirrored_picture_is_shown_upright(folder: Path, ending: str, turn: str) -> None:
    stored, clip = encode(folder, f"stored.{ending}", *X264, *AAC), folder / f"turned.{ending}"
    ffmpeg(*f"-{turn}".split(), "-i", str(stored), "-c", "copy", str(clip))
    [frame] = [frame for index, frame in frames(clip) if index == 27]
    white, grey = TURNS[turn]
    assert frame.shape == ((160, 120, 3) if "90" in turn or "270" in turn else (120, 160, 3))
    assert quarters(frame)[white] > 240 and abs(quarters(frame)[grey] - 94) < 12
    assert cut(clip).size == frame.shape[1::-1]


def test_the_boxes_of_a_turned_video_are_in_upright_pixels(shared_data: Path, tmp_path: Path) -> None:
    head = shared_data / "clips" / "brbk7n.mpg"
    stored, turned = tmp_path / "stored.mp4", tmp_path / "turned.mp4"
    # A phone held upright stores its picture lying on its side.
    ffmpeg("-i", str(head), "-vf", "transpose=1", *X264, "-crf", "1", *AAC, str(stored))
    ffmpeg("-display_rotation", "90", "-i", str(stored), "-c", "copy", str(turned))
    detector = get_detector(Shards(detector="haar", min_face_px=60), Settings())
    boxes = []
    for path in (head, turned):
        [frame] = [frame for index, frame in frames(path) if index == 10]
        [[box]] = detector.detect([frame])
        boxes.append((box.left, box.top, box.right, box.bottom))
    np.testing.assert_allclose(boxes[1], boxes[0], atol=12)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(
    ("aspect", "width_px"), [("4/3", 214), ("64/45", 228), ("1/2", 80), ("10/11", 160), ("16/15", 160), ("1", 160)]
)
def test_pixels_that_are_not_square_are_made_square(folder: Path, ending: str, aspect: str, width_px: int) -> None:
    clip = encode(folder, f"aspect.{ending}", "-vf", f"setsar={aspect}", *X264, *AAC)
    seen = cut(clip)
    assert seen.size == (width_px, 120)
    [frame] = [frame for index, frame in frames(clip) if index == 27]
    assert frame.shape == (120, width_px, 3) and quarters(frame)["upper left"] > 240
    np.testing.assert_allclose(seen.flash_s, (1.0, 1.2), atol=0.001)


def test_a_turned_picture_of_wide_pixels_is_high(folder: Path) -> None:
    stored, clip = encode(folder, "wide.mp4", "-vf", "setsar=4/3", *X264, *AAC), folder / "high.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(stored), "-c", "copy", str(clip))
    assert cut(clip).size == (120, 214)


@pytest.mark.parametrize("codec", [X264, (*X265, "yuv420p")], ids=["h264", "hevc"])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_at_a_variable_rate_every_frame_has_its_own_time(folder: Path, ending: str, codec: tuple[str, ...]) -> None:
    kept = [number for number in range(flash.FRAMES) if number % 3 == 0 or 24 <= number <= 31]
    clip = encode(
        folder, f"variable.{ending}", "-vf", "select='not(mod(n,3))+between(n,24,31)'", "-fps_mode", "vfr", *codec, *AAC
    )
    whole, span = cut(clip), cut(clip, 0.9, 1.4)
    np.testing.assert_allclose(whole.times_s, np.array(kept) / flash.FPS, atol=0.001)
    np.testing.assert_allclose(span.times_s, [n / flash.FPS for n in kept if 0.9 <= n / flash.FPS < 1.4], atol=0.001)
    assert span.wave_N.size == 8000
    for seen in (whole, span):
        np.testing.assert_allclose(seen.flash_s, (1.0, 1.2), atol=0.001)
        np.testing.assert_allclose(seen.beep_s, (1.0, 1.2), atol=FRAME_S)


@pytest.mark.parametrize(("width", "height"), [(159, 120), (160, 119), (159, 119)])
@pytest.mark.parametrize("codec", [("-c:v", "ffv1"), ("-c:v", "libx264", "-qp", "0")], ids=["ffv1", "h264"])
def test_an_odd_size_keeps_every_pixel(tmp_path: Path, width: int, height: int, codec: tuple[str, ...]) -> None:
    pictures = [numbered(number, width, height) for number in range(12)]
    clip = write_video(tmp_path / "odd.mkv", pictures, *codec, "-pix_fmt", "yuv444p", rate="25")
    decoded = frames(clip)
    assert {frame.shape for _, frame in decoded} == {(height, width, 3)}
    assert [number_of(frame) for _, frame in decoded] == list(range(12))


def test_interlaced_frames_are_used_whole(folder: Path) -> None:
    """Nothing is deinterlaced: a frame with two fields is one picture, and its lines are those of the file."""
    clip = encode(
        folder, "fields.mkv", "-vf", "interlace=lowpass=off", "-c:v", "ffv1", "-field_order", "tt", "-c:a", "flac"
    )
    seen = cut(clip)
    assert len(seen.times_s) == 25 and seen.size == (160, 120)
    lines = [frame[10:50, 40].mean(axis=1) for _, frame in frames(clip)]
    assert any(np.abs(np.diff(line)).max() > 100 for line in lines), "the two fields of the flash's first frame differ"
