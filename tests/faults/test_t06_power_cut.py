"""T6: the power goes at any moment, and with it all that no fsync made durable: what has a name is whole.

`ForgetfulDisk` notes every write, rename and fsync below a folder and gives each state that the disk can be found in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.config.blocks import Shards
from foalnet.core.files import publish_bytes, sha256_bytes
from foalnet.train.environment import Stop
from foalnet.train.state import previous_of
from tests.faults.test_t15_states import a_fold
from tests.support.corpus.staging import Place
from tests.support.disks import ForgetfulDisk
from tests.support.marks import red_when

INDEX = Path("data/shards/index.json")


@pytest.fixture(autouse=True)
def in_one_process() -> None:
    """Stage in the test's own process."""


def check_shards(state: Mapping[Path, bytes], at: Path) -> bool:
    """Where the index is durable, so is every shard that it lists, to the byte; return whether it is."""
    if at not in state:
        return False
    for entry in json.loads(state[at])["shards"]:
        path = at.parent / entry["path"]
        assert sha256_bytes(state.get(path, b"")) == entry["sha256"], f"{path} is not what the index says"
    return True


def check_work(state: Mapping[Path, bytes]) -> None:
    """Where a dialogue's entry is durable, so is its shard."""
    for path, data in state.items():
        if path.name == "entry.json":
            digest = json.loads(data)["shard"]["sha256"]
            assert sha256_bytes(state.get(path.with_name("shard.tar"), b"")) == digest, path


def visible(state: Mapping[Path, bytes]) -> dict[Path, bytes]:
    return {path: data for path, data in state.items() if not path.name.startswith(".")}


@red_when("core/files.py", "the end of the earlier index is not made durable")
def test_t6_a_power_cut_while_staging_leaves_the_earlier_shards_the_new_ones_or_none(
    sound_tree: Path, tmp_path: Path
) -> None:
    before = Place(home=tmp_path, root=sound_tree, shards=Shards(detector="fixed", jpeg_quality=60))
    before.stage()
    place, disk = Place(home=tmp_path, root=sound_tree), ForgetfulDisk(tmp_path)
    old = visible(disk.last())
    with disk.mounted():
        place.stage(listed=True)
    complete, indexes = 0, set()
    for state in disk.cuts():
        complete += 1
        check_work(state)
        if check_shards(state, INDEX):
            indexes.add(state[INDEX])
        for path, data in visible(state).items():
            whole = {old.get(path), place.home.joinpath(path).read_bytes() if (place.home / path).exists() else None}
            assert data in whole or path.parts[:2] == ("work", "runs"), f"{path} has neither old nor new content"
    assert complete > 20 and len(indexes) == 2
    published = {path: data for path, data in visible(disk.last()).items() if path.parts[0] in ("data", "reports")}
    assert published == {
        path.relative_to(tmp_path): path.read_bytes()
        for folder in ("data", "reports")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    }, "what staging has said to be done is on the disk"


@red_when("core/files.py", "the folders of shards are not synced before the index is renamed")
def test_t6_the_first_shards_of_all_are_never_indexed_before_they_are_there(sound_tree: Path, tmp_path: Path) -> None:
    place = Place(home=tmp_path, root=sound_tree)
    place.list_files()
    disk = ForgetfulDisk(tmp_path)
    with disk.mounted():
        place.stage(listed=True)
    for state in disk.cuts():
        check_work(state)
        check_shards(state, INDEX)
    assert check_shards(disk.last(), INDEX)


@red_when("core/files.py", "a file is renamed before its bytes are synced")
def test_t6_a_file_that_is_published_is_old_or_new_and_afterwards_new(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "a" / "x", b"old")
    disk = ForgetfulDisk(tmp_path)
    with disk.mounted():
        publish_bytes(tmp_path / "a" / "x", b"new" * 5000)
        publish_bytes(tmp_path / "b" / "c" / "y", b"first")
    states = [visible(state) for state in disk.cuts()]
    assert {state.get(Path("a/x")) for state in states} == {b"old", b"new" * 5000}
    assert {state.get(Path("b/c/y")) for state in states} == {None, b"first"}
    assert visible(disk.last()) == {Path("a/x"): b"new" * 5000, Path("b/c/y"): b"first"}


@red_when("train/state.py", "the state before the new one is removed, not set aside")
def test_t6_of_a_fold_at_work_one_state_is_always_whole(tmp_path: Path) -> None:
    train, home = a_fold(), tmp_path / "work"
    state = home / "s.safetensors"
    home.mkdir()
    disk = ForgetfulDisk(home)
    with disk.mounted():
        train(state, Stop())
    epochs, most = set(), 0
    for number, left in enumerate(disk.cuts()):
        kept = []
        for name in (state.name, previous_of(state).name):
            if (data := left.get(Path(name))) is not None:
                copy = tmp_path / "cut" / f"{number}-{name}"
                publish_bytes(copy, data)
                kept.append(len(load_checkpoint(copy)[1]["rows"]))
        epochs.update(kept)
        assert max(kept, default=0) >= most - 1, "never more than one epoch is lost"
        most = max([most, *kept])
    assert epochs == {1, 2, 3, 4}
