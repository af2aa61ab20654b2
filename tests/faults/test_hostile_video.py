"""Videos that would harm the process that decodes them itself: hangs, floods of messages, pictures that grow."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from foalnet.core.errors import MachineError
from foalnet.media import decode_indexed, inside, probe_times
from foalnet.media import video as video_module
from tests.support.corpus.staging import AVI, OTHER, Impatient, Place, other_dialogue_is_untouched, same_sound_as
from tests.support.corpus.videos import ffmpeg, number_of, numbered
from tests.support.fake_decoder import nothing_inside
from tests.support.marks import red_when


def hanging_after(pictures: int, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the decoder in this process hang at each video's picture of that number, until the event is set."""
    freed, real = threading.Event(), inside._picture

    def picture(frame: Any, rows: tuple[int, int]) -> Any:
        if frame.pts >= pictures:
            freed.wait()
        return real(frame, rows)

    monkeypatch.setattr(inside, "_picture", picture)
    return freed


@red_when("media/decode.py", "after a hang in the worker nobody goes on")
@pytest.mark.long
def test_t29_a_decoder_that_hangs_inside_the_worker_changes_no_shard(
    sound_tree: Path, whole: Place, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = hanging_after(20, monkeypatch)
    place = Impatient(home=tmp_path, root=sound_tree, timeout_s=3.0)
    try:
        place.stage()
    finally:
        freed.set()
    assert place.bytes() == whole.bytes()


@red_when("media/video.py", "the end of the patience is not foreseen")
@pytest.mark.parametrize("where", ["open_video", "_first_frame_size"])
def test_t29_a_hang_over_what_the_video_holds_is_left_and_named(
    sound_tree: Path, whole: Place, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    freed, real = threading.Event(), getattr(video_module, where)

    def hanging(path: Path, **more: Any) -> Any:
        if OTHER in path.name:
            freed.wait()
        return real(path, **more)

    monkeypatch.setattr(video_module, where, hanging)
    place = Impatient(home=tmp_path, root=sound_tree, timeout_s=2.0)
    try:
        with pytest.raises(MachineError, match="the frame times of the video took over 2 s") as caught:
            place.stage()
    finally:
        freed.set()
    assert caught.value.exit_code == 4 and OTHER in str(caught.value.file)
    monkeypatch.setattr(video_module, where, real)
    # The dialogue before it is done and kept.
    again = Place(home=tmp_path, root=sound_tree)
    assert again.stage().staged_now == 1 and again.bytes() == whole.bytes()


@red_when("media/decode.py", "ffmpeg's process writes to our stderr")
@red_when("media/video.py", "the libraries in the worker write to our stderr")
@pytest.mark.parametrize("by_process", [False, True])
def test_t28_a_video_full_of_faults_is_staged_without_output_of_the_decoder(
    place: Place, whole: Place, by_process: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if by_process:
        nothing_inside(monkeypatch)
    path, generator = place.root / AVI, np.random.default_rng(28)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as source:
        packets = [(packet.pos, packet.size) for packet in source.demux(video=0) if packet.size]
    for position, size in packets[3:]:
        # The head of each packet stays, so that it is begun; what follows are thousands of things to complain of.
        for at in generator.integers(30, size, 12):
            data[position + 8 + at] ^= 0xFF
    path.write_bytes(data)
    capfd.readouterr()
    place.stage()
    output = capfd.readouterr()
    assert len(output.out + output.err) < 1000 and "mpeg4" not in output.err
    assert same_sound_as(whole, place) and other_dialogue_is_untouched(whole, place)


def grown(path: Path, giant: int) -> Path:
    """Write an MPEG-4 AVI of 24 numbered pictures of which the one numbered `giant` is 8176 x 4400 pixels."""

    def packets(name: str, frames: list[np.ndarray]) -> list[bytes]:
        height, width = frames[0].shape[:2]
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0"]
        codec = ["-c:v", "mpeg4", "-q:v", "3", "-g", "1", "-threads", "1"]
        ffmpeg(*source, *codec, str(path.with_name(name)), data=b"".join(frame.tobytes() for frame in frames))
        with av.open(str(path.with_name(name))) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    small = packets("small.avi", [numbered(i) for i in range(24)])
    small[giant : giant + 1] = packets("huge.avi", [np.zeros((4400, 8176, 3), np.uint8)])
    with av.open(str(path.with_name("small.avi"))) as source, av.open(str(path), "w", format="avi") as target:
        out = target.add_stream_from_template(source.streams.video[0])
        for number, data in enumerate(small):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), out, True
            target.mux(packet)
    return path


@red_when("media/decode.py", "ffmpeg's process decodes a picture of any size")
@red_when("media/video.py", "a picture of any size is decoded in the worker")
@pytest.mark.parametrize("by_process", [False, True])
def test_t25_a_picture_that_grows_in_the_middle_is_a_frame_that_does_not_decode(
    tmp_path: Path, by_process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_process:
        nothing_inside(monkeypatch)
    shown: set[tuple[int, int]] = set()
    real = inside._ordinary

    def seen(frame: Any, info: Any) -> bool:
        shown.add((frame.width, frame.height))
        return real(frame, info)

    monkeypatch.setattr(inside, "_ordinary", seen)
    path = grown(tmp_path / "grown.avi", 10)
    info = probe_times(path)
    assert (info.width_px, info.height_px, len(info.times_s)) == (128, 96, 24)
    frames = [(index, number_of(frame)) for index, frame in decode_indexed(path, info)]
    assert frames == [(i, i) for i in range(24) if i != 10]
    assert shown == (set() if by_process else {(128, 96)}), "not even to be looked at"
