"""Videos that would harm the machine that stages them, and an ffmpeg that misbehaves (T25 to T29)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from foalnet import media
from foalnet.core.errors import MachineError
from foalnet.core.paths import Paths
from foalnet.corpora.inventory import inventory
from foalnet.media import decode_indexed, extract_sound, inside, probe_times
from foalnet.media import video as video_module
from tests.support.corpus.staging import (
    AVI,
    DIALOGUE,
    OTHER,
    Impatient,
    Place,
    all_masked,
    entries,
    files_for_the_verb,
    opens_of,
    other_dialogue_is_untouched,
    same_sound_as,
)
from tests.support.corpus.videos import ffmpeg, number_of, numbered, patched
from tests.support.fake_decoder import disguises, fake_ffmpeg, nothing_inside
from tests.support.marks import red_when
from tests.support.processes import alive

HOURS_10 = {(b"strh", 20): 15_000, (b"strh", 24): 30, (b"avih", 0): 500_000_000}  # 83 frames, 500 s each
# Runs the rest of its arguments and says how they ended and how much memory the largest process of them took, kB. The
# small process in between matters: a child's count begins with what its parent held.
MEASURED = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


@pytest.mark.long
@red_when("clips/dialogue.py", "the error does not learn its stage")
@red_when("media/container.py", "2.5 GB are held while the limits are checked")
def test_t25_ten_hours_and_16000_pixels_are_refused_by_the_verb_in_little_memory(place: Place) -> None:
    patched(place.root / AVI, place.root / AVI, HOURS_10)
    huge = place.root / AVI.replace(DIALOGUE, OTHER)
    grey = ["-f", "lavfi", "-i", "color=c=gray:s=16000x16000:r=1,format=yuvj420p"]
    ffmpeg("-threads", "1", *grey, "-frames:v", "1", "-c:v", "mjpeg", "-threads", "1", str(huge))
    home = place.home / "project"
    environment = files_for_the_verb(place, home)
    verb = [sys.executable, "-m", "foalnet", "shards", place.corpus]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *verb], cwd=home, env=environment, capture_output=True, text=True, timeout=120
    )
    code, most_kb = map(int, done.stdout.split()[-2:])
    assert code == 3 and most_kb < 2 << 20, done.stderr
    for part in ("beyond the limits: it lasts 11.", f"1 more failed: dialogue {OTHER}", "stage: shards", "next: take"):
        assert part in done.stderr
    assert f"{DIALOGUE}.avi" in done.stderr
    assert not (home / "data/tiny/shards/index.json").exists()
    # The other of the two decoders, alone.
    (place.root / AVI).unlink()
    inventory(place.params, place.settings, Paths(place.corpus, home).inventory)
    place.list_files()
    with pytest.raises(media.VideoTooLarge, match="its picture is 16000 x 16000 pixels") as caught:
        place.stage(listed=True)
    assert caught.value.exit_code == 3 and caught.value.file == str(huge)


@red_when("media/container.py", "text gets the demuxer that it asks for")
@red_when(
    "media/video.py",
    "text gets the demuxer that it asks for (container.py), and http is a protocol",
    case="remote",
)
@pytest.mark.parametrize("kind", ["playlist", "remote", "concat", "neighbour", "sdp", "dash"])
def test_t26_a_disguised_avi_opens_nothing_and_sends_no_request(
    place: Place, whole: Place, listener: tuple[str, list[str]], kind: str
) -> None:
    url, requests = listener
    secret = (place.root / AVI).with_name("secret.avi")
    shutil.copy(place.root / AVI, secret)
    (place.root / AVI).write_text(disguises(secret, url)[kind])
    with opens_of(secret) as opens:
        place.stage()
        assert opens() == 0 and requests == []
        secret.read_bytes()
        assert opens() == 1, "an open would have been seen"
    assert same_sound_as(whole, place) and other_dialogue_is_untouched(whole, place) and all_masked(place, whole)
    assert entries(place)[DIALOGUE] == [("kept", "video_unreadable")]


def test_t26_the_disguise_would_work_on_an_ffmpeg_left_to_itself(place: Place) -> None:
    secret = (place.root / AVI).with_name("secret.avi")
    shutil.copy(place.root / AVI, secret)
    (place.root / AVI).write_text(disguises(secret, "")["neighbour"])
    with opens_of(secret) as opens:
        ffmpeg("-i", f"file:{place.root / AVI}", "-f", "null", "-")
        assert opens() > 0


@pytest.mark.long
@red_when("media/extract.py", "one attempt")
def test_t29_a_hang_over_a_clip_s_sound_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "pcm_s16le", f"file:{clip}")
    hang = f"if mkdir '{tmp_path}/tried' 2>/dev/null; then echo $$ > '{tmp_path}/pid'; sleep 300; fi"
    fake_ffmpeg(tmp_path, f'{hang}\nexec "$REAL" "$@"', monkeypatch)
    extract_sound(clip, tmp_path / "out.wav", timeout_s=2.5)
    assert media.probe_wave(tmp_path / "out.wav").samples == 44100
    assert not alive(int((tmp_path / "pid").read_text()))
    fake_ffmpeg(tmp_path, f"echo $$ >> '{tmp_path}/pids'\nsleep 300", monkeypatch)
    with pytest.raises(MachineError, match=r"over 1 s for the sound, 2 times") as caught:
        extract_sound(clip, tmp_path / "out.wav", timeout_s=1.0)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and not any(map(alive, pids)) and caught.value.exit_code == 4


@pytest.mark.long
@red_when("media/video.py", "the end of the patience is not foreseen")
@pytest.mark.parametrize("where", ["open_video", "_first_frame_size"])
def test_t29_a_hang_over_what_the_video_holds_is_left_and_named(
    sound_tree: Path, whole: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
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
