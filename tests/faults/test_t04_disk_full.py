"""T4: a disk that is full at any moment: exit 4 with the bytes free, what was there stays, the next run is the same."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import foalnet.clips.spool as spools
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError
from foalnet.core.files import need_free, publish_bytes, publish_together, sha256_bytes
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.core.temporaries import is_held
from foalnet.evidence.report import build
from foalnet.shards import open_shards
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.training import train_run
from foalnet.train.environment import Stop
from tests.faults.test_t15_states import a_fold, train_until, trained_epochs
from tests.support.corpus import results
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import corpus_params, make_store, write_corpus
from tests.support.disks import FullDisk
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
SHARES = (pytest.param(0.0, marks=pytest.mark.long), 0.25, pytest.param(0.5, marks=pytest.mark.long), 0.99)
EARLIER = Shards(detector="fixed", jpeg_quality=60)


@pytest.fixture(autouse=True)
def in_one_process() -> None:
    """Stage in the test's own process."""


@pytest.fixture(autouse=True)
def small_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sounds and pictures go to the disk from the first kB."""
    monkeypatch.setattr(spools, "IN_MEMORY_BYTES", 1000)


@pytest.fixture(scope="module")
def total(sound_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many bytes staging writes in all."""
    place = Place(home=tmp_path_factory.mktemp("counted"), root=sound_tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spools, "IN_MEMORY_BYTES", 1000)
        place.list_files()
        disk = FullDisk(place.home)
        with disk.mounted():
            place.stage(listed=True)
    return disk.written


def earlier_generation(home: Path, root: Path) -> tuple[Place, dict[str, bytes]]:
    """Stage with other params, and return the place with today's, and the bytes of that earlier run."""
    before = Place(home=home, root=root, shards=EARLIER)
    before.stage()
    return Place(home=home, root=root), before.bytes()


def litter(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


@red_when("core/files.py", "the marker goes before the new files are written")
@pytest.mark.parametrize("share", SHARES)
def test_t4_a_disk_that_fills_while_staging_leaves_the_earlier_shards_and_the_rerun_is_whole(
    sound_tree: Path, tmp_path: Path, whole: Place, total: int, share: float
) -> None:
    place, before = earlier_generation(tmp_path, sound_tree)
    assert before != whole.bytes()
    with FullDisk(tmp_path, int(total * share)).mounted(), pytest.raises(MachineError) as caught:
        place.stage(listed=True)
    assert caught.value.exit_code == 4 and caught.value.file
    assert f"{os.strerror(errno.ENOSPC)}; 0 bytes are free" in caught.value.what
    assert "free space" in str(caught.value.action)
    assert place.bytes() == before, "index, shards and account of the earlier run are untouched"
    assert len(list(open_shards(place.out).samples())) == 6
    assert litter(tmp_path) == []
    place.stage(listed=True)
    assert place.bytes() == whole.bytes()


@red_when("stages/shards/publish.py", "the error does not state the bytes needed")
@pytest.mark.parametrize("share", SHARES)
def test_t4_a_disk_that_fills_while_shards_are_published_says_what_it_needs(
    sound_tree: Path, tmp_path: Path, whole: Place, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dialogues are in the work cache: all that is written now goes into place."""
    place, before = earlier_generation(tmp_path, sound_tree)
    with monkeypatch.context() as patch:
        patch.setattr("foalnet.stages.shards.staging.publish_shards", lambda *_, **__: [])
        place.stage(listed=True)
    needed = sum(len(data) for data in whole.bytes().values())
    with FullDisk(tmp_path, int(needed * share)).mounted(), pytest.raises(MachineError) as caught:
        place.stage(listed=True)
    assert f"0 bytes are free, {needed:,} are needed" in caught.value.what
    assert place.bytes() == before and litter(tmp_path) == []
    place.stage(listed=True)
    assert place.bytes() == whole.bytes()


@red_when("core/files.py", "free space is never too little")
@pytest.mark.parametrize("share", SHARES)
def test_t4_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    sound_tree: Path, tmp_path: Path, total: int, share: float
) -> None:
    place, before = earlier_generation(tmp_path, sound_tree)
    disk = FullDisk(tmp_path, int(total * share), honest=True)
    with disk.mounted(), pytest.raises(MachineError) as caught:
        place.stage(listed=True)
    free = int(total * share)
    assert caught.value.what.startswith(f"the disk has {free:,} bytes free, ") and "are needed" in caught.value.what
    assert disk.written == 0 and place.bytes() == before


@red_when("stages/shards/staging.py", "a worker does not ask for free space")
def test_t4_a_dialogue_is_refused_before_it_is_decoded_where_the_disk_filled_meanwhile(
    sound_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import foalnet.stages.shards.staging as staging

    place, calls = Place(home=tmp_path, root=sound_tree), []

    def free(folder: Path, needed_bytes: int) -> None:
        calls.append(needed_bytes)
        need_free(folder, needed_bytes if len(calls) == 1 else 10**18)

    def decoded(*_: Any, **__: Any) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(staging, "need_free", free)
    monkeypatch.setattr(staging, "stage_dialogue", decoded)
    with pytest.raises(MachineError, match="are needed"):
        place.stage()


@red_when("train/state.py", "the state before the new one is removed, not set aside")
@pytest.mark.parametrize("share", SHARES)
def test_t4_a_state_that_the_disk_does_not_take_costs_one_epoch_and_changes_nothing(
    tmp_path: Path, share: float
) -> None:
    train, straight, home = a_fold(), tmp_path / "straight.safetensors", tmp_path / "work"
    train(straight, Stop())
    state = home / "s.safetensors"
    train_until(train, state, 2)
    room = int(state.stat().st_size * share)
    with FullDisk(home, room).mounted(), pytest.raises(MachineError) as caught:
        train(state, Stop())
    assert caught.value.exit_code == 4 and caught.value.file == str(state)
    assert "0 bytes are free" in caught.value.what and "are needed" in caught.value.what
    assert litter(home) == []
    assert trained_epochs(train, state) == [3, 4], "two epochs were kept"
    assert state.read_bytes() == straight.read_bytes()


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@red_when("stages/train/publish.py", "the files are published one by one")
@pytest.mark.parametrize("share", SHARES)
def test_t4_a_model_that_the_disk_does_not_take_leaves_the_earlier_one_whole(tmp_path: Path, share: float) -> None:
    """A folder with new logits and an old train.json would belong to no run."""
    paths = write_corpus(tmp_path, make_store(per_group=4))
    settings = Settings(work=tmp_path / "work", workers=1, device="cpu")
    out = paths.model("audio_only", 1)

    def train(epochs: int) -> None:
        train_run(corpus_params(epochs=epochs), settings, Paths("drawn", tmp_path), variant="audio_only", seed=1)

    train(1)
    before = in_folder(out)
    train(2)
    after = in_folder(out)
    for name, data in before.items():
        publish_bytes(out / name, data)
    room = int(sum(map(len, after.values())) * share)
    with FullDisk(out, room).mounted(), pytest.raises(MachineError, match="0 bytes are free"):
        train(2)
    assert in_folder(out) == before
    train(2)
    assert in_folder(out) == after


def below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@red_when("core/files.py", "each file gets its name once it is written")
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("verb", ["manifest", "evaluate", "report"])
def test_t4_what_belongs_together_stays_together_where_the_disk_fills(
    verb: str, share: float, sound_tree: Path, tmp_path: Path
) -> None:
    """Counts and manifest, predictions and metrics, page and metrics: all earlier ones, or all new ones."""
    params = results.make_params(variants=["audio_only"], report={"bootstrap": 50, "compare": []})
    paths, place = results.write_report(tmp_path, params), Place(home=tmp_path / "place", root=sound_tree)
    place.list_files()
    folder, again = {
        "manifest": (place.home, place.list_files),
        "evaluate": (paths.reports / "runs", lambda: evaluate_run(params, paths, variant="audio_only", seed=1)),
        "report": (paths.reports, lambda: build(params, paths)),
    }[verb]
    names = {
        "manifest": ["manifest.jsonl", "reports/counts.json"],
        "evaluate": ["audio_only-s1/metrics.json", "audio_only-s1/predictions.jsonl"],
        "report": ["curves.svg", "headline.json", "metrics.json", "report.html", "report.md", "scores.svg"],
    }[verb]
    after = below(folder)
    for name in names:
        (folder / name).write_bytes(b"old")
    room = int(sum(len(after[name]) for name in names) * share)
    with FullDisk(folder, room).mounted(), pytest.raises(MachineError) as caught:
        again()
    assert "0 bytes are free" in caught.value.what
    assert {name: below(folder)[name] for name in names} == dict.fromkeys(names, b"old")
    again()
    assert {name: below(folder)[name] for name in names} == {name: after[name] for name in names}


@red_when("core/locks.py", "a holder that cannot be noted does not get the lock")
def test_t4_a_full_disk_does_not_keep_the_lock_that_gc_needs_to_empty_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with lock(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")


@red_when("core/files.py", "each file is renamed once it is written")
def test_t4_files_that_are_one_thing_are_all_written_before_the_first_is_renamed(tmp_path: Path) -> None:
    old = {tmp_path / name: f"old {name}".encode() for name in ("a", "b", "index")}
    for path, data in old.items():
        path.write_bytes(data)

    def fails(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = {tmp_path / "a": lambda temp: temp.write_bytes(b"new"), tmp_path / "b": fails}
    with pytest.raises(MachineError) as caught:
        publish_together(files | {tmp_path / "index": fails}, marker=tmp_path / "index")
    assert caught.value.file == str(tmp_path / "b")
    assert {path: path.read_bytes() for path in sorted(tmp_path.iterdir())} == old


# Mounts a real disk, stages in it, and lets another writer fill it after the free space was checked.
REAL = """
import json, os, pathlib, subprocess, sys
sys.path.insert(0, {repository!r})
home, root, room = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(home)], check=True)

import foalnet.stages.shards.publish as publishing, foalnet.clips.spool as spools
import foalnet.stages.shards.staging as staging
from foalnet.config.blocks import Shards
from foalnet.core.errors import FoalnetError
from foalnet.core.files import sha256_bytes
from tests.support.corpus.staging import Place

spools.IN_MEMORY_BYTES = 1000
Place(home=home, root=root, shards=Shards(detector="fixed", jpeg_quality=60)).stage()
place, real = Place(home=home, root=root), staging.need_free
before = place.bytes()

def filled(folder, needed_bytes):
    filler = home / "filler"
    if not filler.exists():
        real(folder, needed_bytes)
        with filler.open("wb", buffering=0) as handle:
            os.posix_fallocate(handle.fileno(), 0, os.statvfs(home).f_bavail * os.statvfs(home).f_frsize - room)

staging.need_free = publishing.need_free = filled
try:
    place.stage(listed=True)
    failure = None
except FoalnetError as error:
    failure = [error.exit_code, error.what]
same = place.bytes() == before
(home / "filler").unlink()
staging.need_free = publishing.need_free = real
place.stage(listed=True)
print(json.dumps([failure, same, {{name: sha256_bytes(data) for name, data in place.bytes().items()}}]))
"""


def can_mount() -> bool:
    try:
        done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module")
def mountable() -> Iterator[None]:
    if not can_mount():
        pytest.skip("this user may not mount a disk of a test's own; the layer above stands for it")
    yield


@red_when("clips/spool.py", "the disk's error in the spool is not turned into a MachineError")
@pytest.mark.parametrize("share", [0.25, *(pytest.param(share, marks=pytest.mark.long) for share in (0.0, 0.5, 0.99))])
def test_t4_on_a_real_disk_of_its_own_the_kernel_says_the_same(
    mountable: None, sound_tree: Path, tmp_path: Path, whole: Place, share: float
) -> None:
    peak = 2 * sum(len(data) for data in whole.bytes().values())  # in the work cache and in place
    script = REAL.format(repository=str(REPOSITORY))
    command = ["unshare", "-m", sys.executable, "-c", script, str(tmp_path), str(sound_tree), str(int(peak * share))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    messages, same, digests = json.loads(done.stdout)
    assert messages is not None and messages[0] == 4 and os.strerror(errno.ENOSPC) in messages[1]
    assert same and digests == {name: sha256_bytes(data) for name, data in whole.bytes().items()}
