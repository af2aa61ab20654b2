"""Video: every frame once and at its time; a crop is a slice; no process remains."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foalnet.core.errors import MachineError
from foalnet.media import (
    VideoTooLarge,
    VideoUnreadable,
    container,
    decode,
    decode_frames,
    decode_indexed,
    ffmpeg_digest,
    ffmpeg_exe,
    probe_times,
)
from foalnet.media.video import STAMP_UNITS, stamp_key, ticks_key
from tests.support.corpus.videos import ffmpeg, number_of, numbered_video, packed_video
from tests.support.fake_decoder import nothing_inside

COUNT = 40


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_video(tmp_path_factory.mktemp("avi") / "a.avi", COUNT)


def test_the_stamps_and_frames_of_a_plain_avi(avi: Path) -> None:
    info = probe_times(avi)
    assert (info.width_px, info.height_px, info.declared_frames, info.truncated) == (128, 96, COUNT, False)
    assert info.rate_fps == pytest.approx(30000 / 1001)
    assert np.allclose(info.times_s, np.arange(COUNT) * 1001 / 30000)
    frames = list(decode_frames(avi))
    assert [number_of(frame) for frame in frames] == list(range(COUNT))
    assert {(frame.shape, frame.dtype) for frame in frames} == {((96, 128, 3), np.dtype(np.uint8))}


@pytest.mark.parametrize("window", [(0, 0, 128, 96), (16, 10, 64, 48), (7, 11, 33, 21), (127, 95, 1, 1)])
def test_a_crop_is_a_slice_of_the_whole_picture(avi: Path, window: tuple[int, int, int, int]) -> None:
    left, top, width, height = window
    for whole, part in zip(decode_frames(avi), decode_frames(avi, crop=window), strict=True):
        assert np.array_equal(part, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("window", [(-1, 0, 8, 8), (0, 0, 129, 8), (120, 90, 8, 8), (0, 0, 0, 8)])
def test_a_crop_outside_the_picture_is_refused(avi: Path, window: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="is not inside a picture"):
        next(decode_frames(avi, crop=window))


@given(
    st.integers(-(2**40), 2**40), st.fractions(min_value="1/1000000", max_value=1, max_denominator=10**6).filter(bool)
)
@example(1, Fraction(1, 2_000_000))
@example(3, Fraction(1, 2_000_000))
def test_a_stamp_in_ticks_has_the_key_of_the_stamp(ticks: int, base: Fraction) -> None:
    assert ticks_key(ticks, base * STAMP_UNITS) == stamp_key(ticks * base)


def test_two_decodes_give_the_same_bytes(avi: Path) -> None:
    one, two = (b"".join(frame.tobytes() for frame in decode_frames(avi)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", ["b.avi", "b.mov", "b.mp4", "b.mpg"])
def test_b_frames_come_out_in_the_order_shown(tmp_path: Path, name: str) -> None:
    codec = ("-c:v", "mpeg1video") if name.endswith("mpg") else ("-vtag", "DX50") if name.endswith("avi") else ()
    path = numbered_video(tmp_path / name, COUNT, "-bf", "2", *codec, rate="25")
    info = probe_times(path)
    frames = [(index, number_of(frame)) for index, frame in decode_indexed(path, info)]
    assert frames == [(i, i) for i in range(COUNT)] and len(info.times_s) == COUNT
    assert np.allclose(np.diff(info.times_s), 0.04)
    # The 0.5 s at which MPEG program streams begin is subtracted.
    assert 0.0 <= info.times_s[0] <= 0.041


def test_packed_b_frames_as_divx_writes_them_keep_count_and_order(tmp_path: Path) -> None:
    path = packed_video(tmp_path / "packed.avi", COUNT)
    info = probe_times(path)
    frames = [(index, number_of(frame)) for index, frame in decode_indexed(path, info)]
    assert frames == [(i, i) for i in range(COUNT)] and not info.truncated


def test_frames_that_an_edit_list_cuts_off_are_no_frames(shared_data: Path) -> None:
    path = shared_data / "clips" / "no_face.mp4"
    info = probe_times(path)
    assert info.declared_frames == 98 and len(info.times_s) == 95 and not info.truncated
    assert [index for index, _ in decode_indexed(path, info)] == list(range(95))


@pytest.mark.long
def test_real_clips_have_as_many_stamps_as_frames(shared_data: Path) -> None:
    for path in sorted((shared_data / "clips").iterdir()):
        info = probe_times(path)
        assert [index for index, _ in decode_indexed(path, info)] == list(range(len(info.times_s))), path.name


def test_a_turned_video_is_shown_upright(tmp_path: Path, avi: Path) -> None:
    turned = tmp_path / "turned.mov"
    ffmpeg("-display_rotation", "90", "-i", str(avi), "-c", "copy", str(turned))
    info = probe_times(turned)
    assert (info.width_px, info.height_px) == (96, 128)
    # The container asks for a quarter turn against the clock.
    upright = np.rot90(next(decode_frames(turned)), -1)
    assert number_of(upright) == 0 and np.abs(upright.astype(int) - next(decode_frames(avi)).astype(int)).max() <= 60


def test_a_picture_size_that_changes_half_way_does_not_shear_the_frames(tmp_path: Path) -> None:
    large = numbered_video(tmp_path / "large.m1v", 10, "-c:v", "mpeg1video", rate="25")
    small = numbered_video(tmp_path / "small.m1v", 10, "-c:v", "mpeg1video", "-s", "64x48", rate="25")
    stream, both = tmp_path / "both.m1v", tmp_path / "both.mpg"
    stream.write_bytes(large.read_bytes() + small.read_bytes())
    ffmpeg("-f", "mpegvideo", "-i", str(stream), "-c", "copy", str(both))
    frames = list(decode_indexed(both, probe_times(both)))
    assert {frame.shape for _, frame in frames} == {(96, 128, 3)}
    # The decoder swallows the last picture before the change; the others keep their own slots.
    assert [(index, number_of(frame)) for index, frame in frames] == [(i, i % 10) for i in range(20) if i != 9]


def test_a_closed_generator_leaves_no_ffmpeg(avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def recorded(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kwargs))
        return started[-1]

    nothing_inside(monkeypatch)
    monkeypatch.setattr(decode.subprocess, "Popen", recorded)
    frames = decode_frames(avi)
    next(frames)
    frames.close()
    assert len(started) == 1 and started[0].returncode is not None


def test_the_command_forces_demuxer_protocols_and_one_thread(avi: Path, tmp_path: Path) -> None:
    arguments = decode.command(avi, probe_times(avi), tmp_path / "stamps")
    joined = " ".join(arguments)
    assert arguments[0] == ffmpeg_exe() and arguments[arguments.index("-i") + 1] == f"file:{avi}"
    for part in ("-f avi", "-protocol_whitelist file,pipe", "-nostdin", "-threads 1", "-fps_mode passthrough"):
        assert part in joined
    assert joined.index("-protocol_whitelist") < joined.index("-i ")


def test_the_limits_are_refused_by_name(avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_SIDE_PX", 100)
    with pytest.raises(VideoTooLarge, match="128 x 96 pixels") as error:
        probe_times(avi)
    assert error.value.exit_code == 3 and error.value.file == str(avi)
    monkeypatch.setattr(container, "MAX_SIDE_PX", 1000)
    monkeypatch.setattr(container, "MAX_DURATION_S", 1.0)
    with pytest.raises(VideoTooLarge, match="lasts"):
        probe_times(avi)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="no such file"):
        probe_times(tmp_path / "none.avi")


def test_a_killed_ffmpeg_is_the_machines_fault(avi: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    fake.chmod(0o755)
    nothing_inside(monkeypatch)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(MachineError, match="SIGKILL"):
        list(decode_frames(avi))


def test_an_ffmpeg_that_is_too_old_is_the_machines_fault(
    avi: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho \"Unrecognized option 'stats_enc_pre'.\" >&2\nexit 1\n")
    fake.chmod(0o755)
    nothing_inside(monkeypatch)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(MachineError, match="too old"):
        list(decode_frames(avi))


def test_the_digest_is_the_binarys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_bytes(b"abc")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    assert ffmpeg_digest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
