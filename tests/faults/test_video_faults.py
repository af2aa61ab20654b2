"""Videos that are broken, disguised or badly named, and an ffmpeg that misbehaves: T18 to T30."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from foalnet.core.errors import MachineError
from foalnet.media import VideoTooLarge, VideoUnreadable, decode, decode_frames, decode_indexed, inside, probe_times
from foalnet.media import container as container_module
from tests.support.corpus.videos import ffmpeg, number_of, numbered_video, patched, write_video
from tests.support.fake_decoder import LOUD, disguises, fake_ffmpeg, nothing_inside
from tests.support.marks import red_when
from tests.support.processes import alive

COUNT = 100


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_video(tmp_path_factory.mktemp("avi") / "a.avi", COUNT, "-g", "12")


@red_when("media/video.py", "`truncated` is never true")
@pytest.mark.parametrize("percent", [10, 50, 90])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_t18_a_truncated_avi_gives_the_frames_before_the_cut(tmp_path: Path, percent: int, b_frames: str) -> None:
    whole = numbered_video(tmp_path / "whole.avi", COUNT, "-bf", b_frames)
    cut, data = tmp_path / "cut.avi", whole.read_bytes()
    pictures, index = data.index(b"movi"), data.index(b"idx1")
    cut.write_bytes(data[: pictures + (index - pictures) * percent // 100])
    info, complete = probe_times(cut), probe_times(whole)
    assert info.truncated and not complete.truncated and info.declared_frames == COUNT
    assert info.times_s == complete.times_s[: len(info.times_s)]
    assert 0 < len(info.times_s) < COUNT
    frames = [(index, number_of(frame)) for index, frame in decode_indexed(cut, info)]
    assert all(index == number for index, number in frames)
    # A B frame may be lost if its later neighbour was cut off; every other frame is unchanged.
    assert len(frames) >= len(info.times_s) - int(b_frames)
    original, decoded = list(decode_frames(whole)), dict(decode_indexed(cut, info))
    assert all(np.array_equal(decoded[i], original[i]) for i in range(len(info.times_s) - 3))


@red_when("media/video.py", "the index is believed though it is cut")
def test_t18_an_avi_cut_inside_its_index_keeps_every_frame(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.avi", COUNT)
    path.write_bytes(path.read_bytes()[:-1000])
    info = probe_times(path)
    assert [(index, number_of(frame)) for index, frame in decode_indexed(path, info)] == [(i, i) for i in range(COUNT)]
    assert not info.by_index and not info.truncated


@red_when("media/video.py", "the index of an AVI is never followed")
def test_t18_a_damaged_middle_shifts_no_later_frame(avi: Path, tmp_path: Path) -> None:
    data = bytearray(avi.read_bytes())
    with av.open(str(avi)) as source:
        packets = [(packet.pos, packet.size) for packet in source.demux(video=0) if packet.size]
    # Packet 40 and the head of the next chunk are noise: what counts chunks as it meets them is one behind from here.
    position, size = packets[40]
    data[position + 8 : position + 8 + size] = np.random.default_rng(3).integers(0, 256, size, np.uint8).tobytes()
    broken = tmp_path / "broken.avi"
    broken.write_bytes(data)
    info = probe_times(broken)
    frames = {index: number_of(frame) for index, frame in decode_indexed(broken, info)}
    # 48 is the next key frame.
    assert all(frames[index] == index for index in [*range(40), *range(48, COUNT)])
    assert info.by_index and info.times_s == probe_times(avi).times_s


@red_when("media/video.py", "PyAV's error leaves `probe_times` as it is")
def test_t18_a_truncated_mov_without_its_index_is_unreadable(tmp_path: Path) -> None:
    whole = numbered_video(tmp_path / "a.mov", 30)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(VideoUnreadable):
        probe_times(whole)


@red_when("media/video.py", "PyAV's error leaves `probe_times` as it is")
@pytest.mark.parametrize("cut", [12, 100, 2000])
def test_t18_an_avi_cut_inside_its_header_is_unreadable(avi: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.avi"
    path.write_bytes(avi.read_bytes()[:cut])
    with pytest.raises(VideoUnreadable):
        probe_times(path)


@red_when("media/container.py", "an empty file is not looked for", case="empty")
@red_when("media/video.py", "PyAV's error leaves `probe_times` as it is")
@pytest.mark.parametrize(
    "data",
    [b"", b"hello\n" * 100, b"R", b"RIFF\x00\x00\x00\x00AVI ", b"\x00\x00\x01\xba" + b"\xff" * 5000],
    ids=["empty", "text", "a letter", "a head", "noise"],
)
def test_t19_t20_what_is_no_video_is_unreadable_whatever_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(data)
    with pytest.raises(VideoUnreadable, match=None if data else "the file is empty") as error:
        probe_times(path)
    assert error.value.reason == "video_unreadable" and error.value.exit_code == 3
    assert error.value.file == str(path) and error.value.action


@red_when("media/video.py", "a missing video stream is not looked for")
def test_t20_sound_without_a_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", str(path))
    with pytest.raises(VideoUnreadable, match="no video stream"):
        probe_times(path)


@red_when("media/video.py", "an AVI's length is its number of packets")
@pytest.mark.parametrize("suffix", ["avi", "mov"])
def test_t22_a_variable_frame_rate_keeps_every_frame_at_its_own_time(tmp_path: Path, suffix: str) -> None:
    kept = [n for n in range(COUNT) if n % 3 == 0 or n % 7 == 0]
    choose = "select=not(mod(n\\,3))+not(mod(n\\,7))"
    path = numbered_video(tmp_path / f"a.{suffix}", COUNT, "-vf", choose, "-fps_mode", "passthrough", rate="25")
    info = probe_times(path)
    assert np.allclose(info.times_s, np.array(kept) / 25) and not info.truncated
    assert [number_of(frame) for _, frame in decode_indexed(path, info)] == kept
    for second in range(3):
        inside = [n for n in kept if second <= n / 25 < second + 1]
        assert abs(sum(second <= t < second + 1 for t in info.times_s) - len(inside)) <= 1


@red_when("media/container.py", "the length is not limited")
def test_t25_ten_hours_are_refused(avi: Path, tmp_path: Path) -> None:
    # One frame takes 400 s: the header's scale and rate, and its microseconds a frame.
    slow = {(b"strh", 20): 400, (b"strh", 24): 1, (b"avih", 0): 400_000_000}
    with pytest.raises(VideoTooLarge, match=r"lasts 11\.1 h") as error:
        probe_times(patched(avi, tmp_path / "long.avi", slow))
    assert error.value.exit_code == 3


@red_when("media/video.py", "the stamps' length is not limited")
def test_t25_ten_hours_that_no_header_declares_are_refused(tmp_path: Path) -> None:
    """The header states no length and there is no index: the frames themselves are ten hours of one a second."""
    one = write_video(tmp_path / "one.avi", [np.zeros((16, 16, 3), np.uint8)] * 2, "-g", "1", rate="1")
    data = one.read_bytes()
    start = data.index(b"movi") + 4
    frame = data[start : start + 8 + struct.unpack_from("<I", data, start + 4)[0]]
    head, body = bytearray(data[:start]), (frame + b"\0" * (len(frame) % 2)) * 36_001
    struct.pack_into("<I", head, start - 8, len(body) + 4)
    struct.pack_into("<I", head, 4, len(head) + len(body) - 8)
    one.write_bytes(head + body)
    quiet = patched(one, tmp_path / "long.avi", {(b"avih", 16): 0, (b"strh", 32): 0})
    with pytest.raises(VideoTooLarge, match=r"lasts 10\.0 h in 36,001 frames"):
        probe_times(quiet)


@red_when("media/container.py", "the picture's size is not limited")
def test_t25_a_picture_of_16000_pixels_is_refused_in_little_memory(tmp_path: Path) -> None:
    huge = tmp_path / "huge.avi"
    grey = ["-f", "lavfi", "-i", "color=c=gray:s=16000x16000:r=1,format=yuvj420p"]
    ffmpeg("-threads", "1", *grey, "-frames:v", "1", "-c:v", "mjpeg", "-threads", "1", str(huge))
    code = (
        # Not ru_maxrss, which begins with what the tests' own process held when it started this one.
        "import re, sys; from pathlib import Path; from foalnet.media import *\n"
        "peak = lambda: re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "try: probe_times(Path(sys.argv[1]))\n"
        "except VideoTooLarge as error: print(error.what, peak())\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(huge)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "16000 x 16000 pixels" in out.stdout
    assert int(out.stdout.split()[-1]) < 2 << 20, "kilobytes"


@red_when("media/video.py", "PyAV's error leaves `probe_times` as it is")
def test_t92_altered_bytes_give_typed_errors_only(tmp_path: Path) -> None:
    originals = [
        numbered_video(tmp_path / "a.avi", 12).read_bytes(),
        numbered_video(tmp_path / "a.mp4", 12, "-bf", "2").read_bytes(),
        numbered_video(tmp_path / "a.mpg", 12, "-c:v", "mpeg1video", rate="25").read_bytes(),
    ]
    random, path, read = np.random.default_rng(0), tmp_path / "x.avi", 0
    for turn in range(150):
        data = bytearray(originals[turn % 3])
        for _ in range(random.choice([1, 5, 40])):
            data[random.integers(12, min(len(data), 6000))] = random.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(VideoUnreadable, VideoTooLarge):
            read += len(probe_times(path).times_s) > 0
    assert read > 20, "most of the altered files must still get past the first bytes"


@red_when("media/video.py", "the demuxer is not forced")
@pytest.mark.parametrize("kind", ["playlist", "remote", "concat", "neighbour", "sdp", "dash"])
def test_t26_even_past_the_first_look_nothing_else_is_opened(
    tmp_path: Path, avi: Path, listener: tuple[str, list[str]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: with the first bytes' check gone, the forced demuxer and the protocol list still hold."""
    url, requests = listener
    path = tmp_path / "disguised.avi"
    secret = tmp_path / "secret.avi"
    secret.write_bytes(avi.read_bytes())
    path.write_text(disguises(secret, url)[kind])
    for module in (container_module, decode, sys.modules["foalnet.media.video"]):
        monkeypatch.setattr(module, "choose_demuxer", lambda path: "avi")
    with pytest.raises(VideoUnreadable):
        probe_times(path)
    facts = probe_times.__globals__["VideoInfo"](
        width_px=8, height_px=8, rate_fps=25.0, times_s=(0.0,), declared_frames=1, truncated=False
    )
    with pytest.raises(VideoUnreadable):
        list(decode_indexed(path, facts))
    assert requests == []


ODD_NAMES = [
    "with space.avi",
    'it\'s "quoted".avi',
    "new\nline.avi",
    "-dash.avi",
    "a;b|c&d$(e).avi",
    "pipe:1.avi",
    "é%d.avi",
    "not UTF-8 \udcff.avi",
    "escape \x1b[31m.avi",
]


@red_when("media/container.py", "the name is given without its protocol")
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("by_process", [False, True])
def test_t27_odd_file_names_are_only_names(
    tmp_path: Path, avi: Path, name: str, by_process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_process:
        nothing_inside(monkeypatch)
    (tmp_path / name).write_bytes(avi.read_bytes())
    monkeypatch.chdir(tmp_path)
    # Relative on purpose: that is where a leading dash or a protocol's name could bite.
    path = Path(name)
    info = probe_times(path)
    assert [number_of(frame) for _, frame in decode_indexed(path, info)] == list(range(COUNT))
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


@red_when("media/decode.py", "stderr is a pipe that nobody reads")
def test_t28_megabytes_on_stderr_do_not_hang(tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, f'{LOUD}\nexec "$REAL" "$@"', monkeypatch)
    assert len(list(decode_frames(avi, timeout_s=20))) == COUNT


@red_when("media/decode.py", "`_TAIL_CHARS` 6000")
def test_t28_the_error_bears_the_end_of_stderr(tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, f"{LOUD}\necho the last words >&2\nexit 3", monkeypatch)
    with pytest.raises(VideoUnreadable, match=r"ended with 3 after 0 frames.*the last words") as error:
        list(decode_frames(avi, timeout_s=20))
    assert len(str(error.value)) < 1500


@red_when("media/decode.py", "ffmpeg alone is killed, not its group")
def test_t29_a_hanging_ffmpeg_is_killed_with_its_children_and_tried_once_more(
    tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path, f"echo $$ >> '{tmp_path}/pids'\nsleep 300 &\necho $! >> '{tmp_path}/pids'\nwait", monkeypatch)
    start = time.monotonic()
    with pytest.raises(MachineError, match=r"returned nothing for 0\.5 s, 2 times") as error:
        list(decode_frames(avi, timeout_s=0.5))
    assert time.monotonic() - start < 15 and error.value.exit_code == 4
    assert error.value.file == str(avi) and "FOALNET_FFMPEG_TIMEOUT_S" in str(error.value)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4, "two tries, each with a child"
    time.sleep(0.3)
    assert not any(map(alive, pids))


@red_when("media/decode.py", "the second attempt gives every frame again")
def test_t29_a_hang_in_the_middle_is_taken_up_where_it_stopped(
    tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_time = f"""
if mkdir '{tmp_path}/tried' 2>/dev/null; then
    "$REAL" "$@" | head -c {96 * 128 * 3 * 30 + 1000}
    sleep 300
fi
exec "$REAL" "$@"
"""
    fake_ffmpeg(tmp_path, first_time, monkeypatch)
    assert [number_of(frame) for frame in decode_frames(avi, timeout_s=1.5)] == list(range(COUNT))
    assert (tmp_path / "tried").is_dir()


@red_when("media/inside.py", "the next pictures are waited for without end")
def test_t29_a_decoder_that_hangs_in_this_process_is_left_and_ffmpeg_goes_on(
    avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed, real = threading.Event(), inside._picture

    def hanging(frame: Any, rows: tuple[int, int]) -> Any:
        if frame.pts >= 20:
            freed.wait()
        return real(frame, rows)

    monkeypatch.setattr(inside, "_picture", hanging)
    try:
        assert [number_of(frame) for frame in decode_frames(avi, timeout_s=2.0)] == list(range(COUNT))
    finally:
        freed.set()


@red_when("media/decode.py", "ffmpeg has two attempts, whatever hung before")
def test_t29_both_hang_and_it_is_said(tmp_path: Path, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    freed = threading.Event()
    fake_ffmpeg(tmp_path, f"echo $$ >> '{tmp_path}/pids'\nsleep 300", monkeypatch)
    monkeypatch.setattr(inside, "CODECS", frozenset({"mpeg4"}))
    monkeypatch.setattr(inside, "_picture", lambda frame, rows: freed.wait())
    try:
        with pytest.raises(MachineError, match=r"returned nothing for 0\.5 s, 2 times"):
            list(decode_frames(avi, timeout_s=0.5))
    finally:
        freed.set()
    assert len((tmp_path / "pids").read_text().split()) == 1


@red_when("media/decode.py", "the picture is halved and doubled in between")
@pytest.mark.parametrize("suffix", ["avi", "mpg", "mp4"])
def test_t30_two_readers_see_the_same_frames(tmp_path: Path, suffix: str) -> None:
    codec = ("-c:v", "mpeg1video") if suffix == "mpg" else ()
    path = numbered_video(tmp_path / f"a.{suffix}", 40, *codec, rate="25")
    ours = list(decode_frames(path))
    with av.open(str(path)) as source:
        theirs = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    assert len(ours) == len(theirs) == 40
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(ours, theirs, strict=True)) <= 4


@red_when("media/decode.py", "the picture is halved and doubled in between")
def test_t30_two_readers_see_the_same_frames_of_real_clips(shared_data: Path) -> None:
    for path in sorted((shared_data / "clips").glob("*.mpg")):
        ours = list(decode_frames(path))
        with av.open(str(path)) as source:
            theirs = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        assert len(ours) == len(theirs) == 75
        assert max(np.abs(a.astype(int) - b).max() for a, b in zip(ours, theirs, strict=True)) <= 4


@red_when("media/video.py", "what libavformat makes up for H.264 in an AVI is believed")
@pytest.mark.parametrize("options", [("-bf", "0"), ("-tune", "zerolatency")])
def test_t30_h264_in_an_avi_begins_at_zero_and_both_readers_have_every_frame(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    source, path = numbered_video(tmp_path / "source.avi", 12), tmp_path / "h264.avi"
    ffmpeg("-i", str(source), "-c:v", "libx264", "-pix_fmt", "yuv420p", *options, str(path))
    info = probe_times(path)
    assert info.times_s == pytest.approx([i / info.rate_fps for i in range(12)])
    frames = [(index, number_of(frame_HWC)) for index, frame_HWC in decode_indexed(path, info)]
    assert frames == [(i, i) for i in range(12)]
