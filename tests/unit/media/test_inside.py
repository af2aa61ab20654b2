"""Decoding in this process: the same pictures as ffmpeg's process, which takes over whatever is not ordinary."""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foalnet.media import Picture, decode, decode_pictures, inside, probe_times
from foalnet.media.inside import LOT, Unusual, decode_inside
from tests.support.corpus.videos import ffmpeg, numbered_video, packed_video
from tests.support.fake_decoder import nothing_inside
from tests.support.marks import red_when

COUNT = 40
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
Planes = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_video(tmp_path_factory.mktemp("inside") / "a.avi", COUNT)


def planes(path: Path, rows: tuple[int, int] | None = None) -> Planes:
    return [(index, pixels(picture)) for index, picture in decoded(path, rows)]


def decoded(path: Path, rows: tuple[int, int] | None = None) -> list[tuple[int, Picture]]:
    return list(decode_pictures(path, probe_times(path), rows=rows))


def pixels(picture: Picture) -> bytes:
    return b"".join(plane.tobytes() for plane in (picture.luma_HW, picture.blue_hw, picture.red_hw))


def by_process(path: Path, rows: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> Planes:
    with monkeypatch.context() as patch:
        nothing_inside(patch)
        return planes(path, rows)


def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that grows with every run of ffmpeg."""
    runs: list[Any] = []
    real = decode.subprocess.Popen

    def recorded(*args: Any, **kwargs: Any) -> Any:
        runs.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(decode.subprocess, "Popen", recorded)
    return runs


@pytest.mark.parametrize("rows", [None, (24, 72)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.avi", ()),
        ("a.mp4", ()),
        ("b.mp4", H264),
        ("c.avi", ("-vtag", "DIVX", "-g", "12")),
        ("d.avi", (*H264, "-bf", "0")),
    ],
)
def test_the_ordinary_needs_no_process_and_gives_its_pictures(
    tmp_path: Path, name: str, options: tuple[str, ...], rows: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = numbered_video(tmp_path / name, COUNT, *options)
    expected = by_process(path, rows, monkeypatch)
    runs = started(monkeypatch)
    assert planes(path, rows) == expected
    assert not runs and [index for index, _ in expected] == list(range(COUNT))


def test_what_asks_for_more_than_decoding_is_left_to_the_process(tmp_path: Path, avi: Path) -> None:
    def made(name: str, *options: str) -> Path:
        path = tmp_path / name
        ffmpeg(*options, str(path))
        return path

    plain = ("-i", str(avi))
    unusual = [
        made("codec.avi", *plain, "-c:v", "ffv1", "-pix_fmt", "yuv420p"),
        made("colours.mp4", *plain, "-c:v", "libx264", "-pix_fmt", "yuv444p"),
        made("range.mp4", *plain, *H264, "-vf", "scale=out_range=full", "-color_range", "pc"),
        made("matrix.mp4", *plain, *H264, "-colorspace", "bt709"),
        made("odd.mp4", *plain, "-c:v", "mpeg4", "-vf", "crop=127:95:0:0:exact=1"),
    ]
    upright = made("upright.mp4", *plain, *H264)
    unusual.append(made("turned.mp4", "-display_rotation", "90", "-i", str(upright), "-c", "copy"))
    unusual.append(made("mirrored.mp4", "-display_hflip", "-i", str(upright), "-c", "copy"))
    for path in unusual:
        info = probe_times(path)
        with pytest.raises(Unusual):
            next(decode_inside(path, info, (0, info.height_px), 10.0))
        assert len(decoded(path)) == COUNT, path.name
    info = probe_times(upright)
    assert next(decode_inside(upright, info, (0, info.height_px), 10.0))[0] == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"is_corrupt": True},
        {"width": 126},
        {"height": 98},
        {"format": SimpleNamespace(name="yuv422p")},
        {"color_range": 2},
        {"colorspace": 1},
        {"side_data": [SimpleNamespace(type=SimpleNamespace(name="DISPLAYMATRIX"))]},
    ],
)
def test_one_property_makes_a_frame_unusual(avi: Path, odd: dict[str, Any]) -> None:
    plain = {
        **{"is_corrupt": False, "width": 128, "height": 96, "format": SimpleNamespace(name="yuv420p")},
        **{"color_range": 0, "colorspace": 2, "key_frame": True, "side_data": []},
    }
    info = probe_times(avi)
    assert inside._ordinary(SimpleNamespace(**plain), info)
    assert not inside._ordinary(SimpleNamespace(**plain | odd), info)


@pytest.mark.parametrize("missing", ["in the middle", "at the end"])
def test_a_frame_that_the_decoder_swallows_ends_it_before_that_frame(avi: Path, missing: str) -> None:
    """Stamps with one more frame than the decoder gives: left to itself, every later picture were one too early."""
    info = probe_times(avi)
    times_s = info.times_s
    if missing == "in the middle":
        times_s = (*times_s[:20], (times_s[19] + times_s[20]) / 2, *times_s[20:])
    else:
        times_s = (*times_s, times_s[-1] + 0.04)
    indices: list[int] = []
    with pytest.raises(Unusual):
        for index, _ in decode_inside(avi, replace(info, times_s=times_s), (0, 96), 10.0):
            indices.append(index)
    assert indices == list(range(2 * LOT if missing == "in the middle" else COUNT))


def test_from_a_damaged_frame_on_the_process_takes_over(
    tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(avi.read_bytes())
    place = [i for i in range(len(data)) if data[i : i + 4] == b"00dc"][20]
    (size,) = struct.unpack_from("<I", data, place + 4)
    data[place + 8 : place + 8 + size] = bytes(size)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    expected = by_process(path, None, monkeypatch)
    runs = started(monkeypatch)
    actual = planes(path)
    assert actual == expected and len(actual) == COUNT - 1
    assert len(runs) == 1


def test_a_file_that_ends_early_is_finished_by_the_process(
    tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "cut.avi", avi.read_bytes()
    pictures, index = data.index(b"movi"), data.index(b"idx1")
    path.write_bytes(data[: (pictures + index) // 2])
    expected = by_process(path, None, monkeypatch)
    assert planes(path) == expected and LOT < len(expected) < COUNT


def test_divx_with_packed_b_frames_is_what_the_process_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed_video(tmp_path / "packed.avi", 24)
    assert planes(path) == by_process(path, None, monkeypatch)


def test_real_clips_come_out_the_same(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = sorted((shared_data / "clips").rglob("*.mp4"))[:4]
    assert clips
    for path in clips:
        assert planes(path) == by_process(path, None, monkeypatch), path.name


def test_closing_ends_the_thread(avi: Path) -> None:
    info = probe_times(avi)
    pictures = decode_pictures(avi, info)
    next(pictures)
    assert [thread.name for thread in threading.enumerate()].count("decoder") == 1
    pictures.close()
    until = time.monotonic() + 300
    while any(thread.name == "decoder" for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(thread.name == "decoder" for thread in threading.enumerate())


def test_the_decoder_does_not_run_far_ahead(avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = inside._picture

    def counted(frame: Any, rows: tuple[int, int]) -> Picture:
        made.append(frame.pts)
        return real(frame, rows)

    monkeypatch.setattr(inside, "_picture", counted)
    pictures = decode_pictures(avi, probe_times(avi))
    next(pictures)
    time.sleep(0.3)
    assert LOT <= len(made) <= (2 + inside.AHEAD) * LOT < COUNT
    pictures.close()


def test_a_picture_keeps_its_frame(avi: Path) -> None:
    kept = decoded(avi)
    again = dict(decoded(avi))
    for index, picture in kept:
        assert np.array_equal(picture.luma_HW, again[index].luma_HW)
    assert len({pixels(picture) for _, picture in kept}) == COUNT


@red_when("media/decode.py", "ffmpeg's process begins one frame behind the last that was decoded inside")
@pytest.mark.parametrize("seed", range(8))
def test_t18_altered_bytes_come_out_as_from_the_process(
    tmp_path: Path, avi: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two decodes it, a damaged AVI has the same frames, in their places, with the same pixels."""
    rng, data = np.random.default_rng(seed), bytearray(avi.read_bytes())
    for place in rng.integers(data.index(b"movi") + 8, data.index(b"idx1"), (1, 3, 20)[seed % 3]):
        data[place] = int(rng.integers(256))
    path = tmp_path / "altered.avi"
    path.write_bytes(data)
    assert planes(path) == by_process(path, None, monkeypatch)
