"""Videos that would harm the machine that stages them, and an ffmpeg that misbehaves (T25 to T29)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foalnet import media
from foalnet.core.errors import MachineError
from foalnet.core.paths import Paths
from foalnet.corpora.inventory import inventory
from foalnet.media import extract_sound
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
    samples,
)
from tests.support.corpus.videos import ffmpeg, patched
from tests.support.fake_decoder import LOUD, alive, disguises, fake_ffmpeg, nothing_inside
from tests.support.marks import red_when

HOURS_10 = {(b"strh", 20): 15_000, (b"strh", 24): 30, (b"avih", 0): 500_000_000}  # 83 frames, 500 s each
# Runs the rest of its arguments and says how they ended and how much memory the largest process of them took, kB. The
# small process in between matters: a child's count begins with what its parent held.
MEASURED = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


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
@pytest.mark.parametrize("kind", ["playlist", "remote", "concat", "neighbour", "sdp"])
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


@red_when("media/decode.py", "ffmpeg is started through a shell, each word in double quotes")
@pytest.mark.parametrize("by_process", [False, True])
def test_t27_a_tree_under_an_odd_name_gives_the_same_bytes(
    place: Place, whole: Place, by_process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_process:
        nothing_inside(monkeypatch)
    name = '-i it\'s "a" $(touch gone)\n;touch gone|pipe:1 %d é'
    odd = place.home / name
    place.root.rename(odd)
    monkeypatch.chdir(place.home)
    moved = Place(home=place.home, root=Path(name))
    moved.stage()
    assert entries(moved) == {} and moved.bytes() == whole.bytes()
    assert not list(place.home.rglob("gone"))


@red_when("media/decode.py", "stderr is a pipe that nobody reads")
def test_t28_megabytes_on_stderr_change_no_shard(place: Place, whole: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(place.home, f'{LOUD}\nexec "$REAL" "$@"', monkeypatch)
    place = Impatient(home=place.home, root=place.root, timeout_s=20.0)
    place.stage()
    shards = {name: data for name, data in whole.bytes().items() if name.endswith(".tar")}
    assert {name: data for name, data in place.bytes().items() if name.endswith(".tar")} == shards


@red_when("media/decode.py", "one attempt")
@pytest.mark.long
def test_t29_a_hanging_ffmpeg_is_killed_tried_once_more_and_named(
    sound_tree: Path, whole: Place, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, pids = tmp_path / "hang", tmp_path / "pids"
    script = f"""
case "$*" in
*{OTHER}*) if [ -e '{hang}' ]; then echo $$ >> '{pids}'; sleep 300 & echo $! >> '{pids}'; wait; fi ;;
esac
exec "$REAL" "$@"
"""
    fake_ffmpeg(tmp_path, script, monkeypatch)
    hang.touch()
    place: Place = Impatient(home=tmp_path, root=sound_tree, timeout_s=3.0)
    with pytest.raises(MachineError, match=r"ffmpeg returned nothing for 3 s, 2 times; it was killed") as caught:
        place.stage()
    assert caught.value.exit_code == 4
    assert caught.value.file == str(sound_tree / AVI.replace(DIALOGUE, OTHER))
    assert "FOALNET_FFMPEG_TIMEOUT_S" in str(caught.value)
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 4, "two tries, each with a child"
    time.sleep(0.3)
    assert alive(started) == [] and not place.out.exists()
    # The dialogue before it is done and kept: the same command again, on a machine that is well, stages one.
    hang.unlink()
    place = Place(home=tmp_path, root=sound_tree)
    assert place.stage().staged_now == 1
    assert {k: s.members for k, (_, s) in samples(place).items()} == {
        k: s.members for k, (_, s) in samples(whole).items()
    }


@red_when("media/extract.py", "one attempt")
def test_t29_a_hang_over_a_clip_s_sound_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "pcm_s16le", f"file:{clip}")
    hang = f"if mkdir '{tmp_path}/tried' 2>/dev/null; then echo $$ > '{tmp_path}/pid'; sleep 300; fi"
    fake_ffmpeg(tmp_path, f'{hang}\nexec "$REAL" "$@"', monkeypatch)
    extract_sound(clip, tmp_path / "out.wav", timeout_s=2.5)
    assert media.probe_wave(tmp_path / "out.wav").samples == 44100
    assert alive([int((tmp_path / "pid").read_text())]) == []
    fake_ffmpeg(tmp_path, f"echo $$ >> '{tmp_path}/pids'\nsleep 300", monkeypatch)
    with pytest.raises(MachineError, match=r"over 1 s for the sound, 2 times") as caught:
        extract_sound(clip, tmp_path / "out.wav", timeout_s=1.0)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and alive(pids) == [] and caught.value.exit_code == 4
