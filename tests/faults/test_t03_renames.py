"""T3: kill -9 during a storm of renames: a name has old or new content, whole, and the next run clears up."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from foalnet.cli.main import cli
from foalnet.core.files import publish_bytes, publish_together, publishing, sha256_bytes
from foalnet.core.temporaries import dead_temporaries, remove_temporaries
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.marks import red_when
from tests.support.processes import dead_pid

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = 100


def content(generation: int, size: int) -> bytes:
    """Return bytes that say which generation they are of and whether they are whole."""
    body = b"%08d" % generation * size
    return sha256_bytes(body).encode() + body


def storm(home: Path, generation: int) -> None:
    """Publish generation after generation, for ever: of one file alone, and of three that are one thing."""
    while True:
        generation += 1
        publish_bytes(home / "alone", content(generation, 3000))
        files = {
            home / name: partial(_put, content(generation, size))
            for name, size in (("a/one", 4000), ("b/two", 100), ("marker", 1))
        }
        publish_together(files, marker=home / "marker")


def _put(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def storming(home: Path, generation: int) -> int:
    """Start the storm in a process of its own and return its number."""
    child = os.fork()
    if child == 0:
        try:
            storm(home, generation)
        finally:
            os._exit(1)
    return child


def generation_of(path: Path) -> str:
    """Return the generation of a file that is whole."""
    data = path.read_bytes()
    assert sha256_bytes(data[64:]).encode() == data[:64], f"{path.name} is not whole"
    return data[64:72].decode()


@red_when("core/files.py", "the marker stays while the files of its generation are renamed")
@pytest.mark.long
def test_t3_kill_9_in_a_storm_of_renames_100_times_leaves_every_name_whole(tmp_path: Path) -> None:
    dice, seen, left = random.Random(3), set(), 0
    for number in range(KILLS):
        writer = storming(tmp_path, 10_000 * number)
        time.sleep(dice.uniform(0.0, 0.03))  # any moment will do
        os.kill(writer, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL
        if (tmp_path / "alone").exists():
            seen.add(generation_of(tmp_path / "alone"))
        if (tmp_path / "marker").exists():
            assert len({generation_of(tmp_path / name) for name in ("a/one", "b/two", "marker")}) == 1
        left += len(dead_temporaries(tmp_path))
        remove_temporaries(tmp_path)
        names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert names <= {"alone", "a/one", "b/two", "marker"}
    assert len(seen) > 1 and left > 0, "some kills came in the middle"


@red_when("stages/base.py", "a verb removes no temporaries")
@pytest.mark.long
def test_t3_the_next_run_of_a_verb_clears_away_what_a_killed_one_left(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=4))
    write_params(tmp_path, epochs=1)
    pid = dead_pid()
    left = [
        paths.model("audio_only", 1) / f".train.json.{pid}.part",
        tmp_path / "work" / "train" / "x" / f".Session1.safetensors.{pid}.part",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    others = paths.model("audio_only", 1) / f".logits.json.{os.getpid()}.part"
    others.write_bytes(b"of a living writer")
    command = [sys.executable, "-m", "foalnet", "train", "drawn", "--variant", "audio_only", "--seed", "1"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "FOALNET_DEVICE": "cpu", "FOALNET_WORKERS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [path for path in left if path.exists()] == [] and others.exists()


@red_when("stages/base.py", "a data folder is swept with all that lies below it")
def test_t3_nothing_is_cleared_away_in_a_corpus_tree_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path)
    theirs, ours = (tmp_path / "data" / "drawn" / name for name in ("raw/.a.{}.part", ".inventory.json.{}.part"))
    theirs, ours = (path.with_name(path.name.format(dead_pid())) for path in (theirs, ours))
    theirs.parent.mkdir(parents=True)
    for path in (theirs, ours):
        path.write_bytes(b"half")
    summary = {"files": 0, "bytes": 0, "hashed": 0, "note": None, "ignored": {}, "named": {}, "by_role": {}}
    monkeypatch.setattr("foalnet.stages.inventory.take", lambda *_: summary)
    monkeypatch.setattr("foalnet.stages.inventory.read_inventory", lambda *_, **__: SimpleNamespace(roles=dict))
    monkeypatch.setattr("foalnet.cli.entries.check_runs", lambda: None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["inventory", "drawn"])
    assert done.exit_code == 0 and theirs.exists() and not ours.exists(), done.exception


@red_when("core/files.py", "a temporary is not locked while it is written")
def test_t3_a_temporary_of_a_writer_in_another_container_is_not_taken_for_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process number there means nothing here, but the lock on its temporary is visible."""
    with publishing(tmp_path / "a") as temp:
        temp.write_bytes(b"half")
        monkeypatch.setattr("foalnet.core.temporaries.alive", lambda pid: False)
        assert dead_temporaries(tmp_path) == []
    assert (tmp_path / "a").read_bytes() == b"half"


@red_when("core/files.py", "folders are not claimed")
def test_t3_nor_are_those_of_many_files_that_are_one_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody clears up in the middle of the writing, where the writer's number says nothing."""
    monkeypatch.setattr("foalnet.core.temporaries.alive", lambda pid: False)
    swept = []

    def two(path: Path) -> None:
        path.write_bytes(b"two")
        swept.append(remove_temporaries(tmp_path))

    marker = tmp_path / "marker"
    publish_together({tmp_path / "a" / "one": b"one", tmp_path / "two": two, marker: b"m"}, marker=marker)
    assert swept == [0]
    contents = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert contents == {"one": b"one", "two": b"two", "marker": b"m"}


@red_when("core/temporaries.py", "a temporary without a name is taken for one")
def test_t3_what_is_cleared_away_before_it_could_be_marked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = fcntl.flock, []

    def swept_first(descriptor: int, how: int) -> None:
        if not times:
            [temp] = tmp_path.iterdir()
            temp.unlink()
        times.append(how)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", swept_first)
    publish_bytes(tmp_path / "a", b"whole")
    assert len(times) == 2 and (tmp_path / "a").read_bytes() == b"whole"
