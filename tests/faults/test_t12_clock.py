"""T12: the clock jumps backwards, files bear any time: the same bytes, and the same decisions on what is done."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

import foalnet.corpora.inventory as inventories
from foalnet.core.errors import DataError
from foalnet.corpora.inventory import read_inventory
from foalnet.train.state import previous_of
from tests.faults.test_t15_states import a_fold, train_until, trained_epochs
from tests.support.corpus.staging import AVI, Place
from tests.support.marks import red_when

DAY_NS = 86_400 * 10**9


def shuffle_times(folder: Path, seed: int) -> None:
    """Give every file and folder any time between 1970 and 2100."""
    dice = random.Random(seed)
    for path in sorted(folder.rglob("*")):
        moment = dice.randrange(4_000_000_000)
        os.utime(path, (moment, moment), follow_symlinks=False)


@pytest.fixture
def falling_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock show a day less than the one before, from today on."""
    now = [time.time_ns()]

    def earlier() -> int:
        now[0] -= DAY_NS
        return now[0]

    monkeypatch.setattr(time, "time_ns", earlier)
    monkeypatch.setattr(time, "time", lambda: earlier() / 1e9)


@red_when("shards/write.py", "members bear the time of day")
def test_t12_files_of_any_time_and_a_clock_that_falls_give_the_same_bytes(
    place: Place, whole: Place, falling_clock: None
) -> None:
    shuffle_times(place.root, 12)
    place.stage()
    assert place.bytes() == whole.bytes()
    assert (place.home / "inventory.json").read_bytes() == (whole.home / "inventory.json").read_bytes()
    assert (place.home / "manifest.jsonl").read_bytes() == (whole.home / "manifest.jsonl").read_bytes()


@red_when("stages/shards/publish.py", "a shard that looks young is copied anew")
def test_t12_what_is_done_stays_done_whatever_times_files_get_later(place: Place, falling_clock: None) -> None:
    place.stage()
    before = place.bytes()
    for seed in (1, 2):
        shuffle_times(place.home, seed)
        nodes = {path: path.stat().st_ino for path in place.out.rglob("*.tar")}
        assert place.stage().staged_now == 0
        assert place.bytes() == before
        assert {path: path.stat().st_ino for path in nodes} == nodes, "no shard was copied anew"


@red_when("corpora/inventory.py", "the change time is not part of a file's state")
def test_t12_a_file_rewritten_behind_its_old_time_and_size_is_seen_by_a_clock_that_was_set_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sets the change time; no program can set it back with the modification time."""
    video = place.root / AVI
    os.utime(video, ns=(0, 0))
    monkeypatch.setattr(inventories, "RACY_NS", -(10**15))
    place.list_files()
    before = read_inventory(place.home / "inventory.json").digests()[AVI]
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    video.write_bytes(data)
    os.utime(video, ns=(0, 0))
    monkeypatch.setattr(time, "time_ns", lambda: DAY_NS)
    place.list_files()
    assert read_inventory(place.home / "inventory.json").digests()[AVI] != before


@red_when("corpora/inventory.py", "every digest is kept")
def test_t12_a_digest_taken_when_the_clock_was_ahead_is_not_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file changed 'later' than now may change again within the same tick of a clock that was set back."""
    monkeypatch.setattr(time, "time_ns", lambda: 10 * DAY_NS)
    inventories.inventory(place.params, place.settings, place.home / "inventory.json")
    again = inventories.inventory(place.params, place.settings, place.home / "inventory.json")
    assert again["hashed"] == again["files"] and not again["changed"]


@red_when("clips/dialogue.py", "a file of the same size is taken for the same")
def test_t12_staging_itself_reads_what_it_stages_and_trusts_no_time(place: Place) -> None:
    place.list_files()
    video = place.root / AVI
    stat = video.stat()
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    video.write_bytes(data)
    os.utime(video, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DataError, match="differs from the inventory") as caught:
        place.stage(listed=True)
    assert caught.value.file == str(video)


@red_when("train/state.py", "the state with the later time is used")
def test_t12_the_newest_state_of_a_fold_is_known_by_its_name_not_by_its_time(tmp_path: Path) -> None:
    train, state = a_fold(), tmp_path / "s.safetensors"
    train_until(train, state, 3)
    os.utime(state, (0, 0))
    os.utime(previous_of(state), (4_000_000_000, 4_000_000_000))
    assert trained_epochs(train, state) == [4]
