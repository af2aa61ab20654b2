"""T85: every object of an output is read before a push, in DVC's cache or, if that lacks it, in the remote."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from foalnet.artifact.digests import Reader, folder_md5, listing_bytes
from foalnet.artifact.dvcrepo import opened
from foalnet.checks.verify.lock import Recipe, Recorded
from foalnet.checks.verify.objects import Fault, faults
from foalnet.checks.verify.places import Remote
from foalnet.core.errors import MachineError
from tests.support.marks import red_when
from tests.support.remotes import flip, object_in, use_remote

FILES = {"a.tar": b"a shard", "b/index.json": b"{}"}
RECIPE = Recipe(
    cmd="foalnet shards drawn", deps=(), outs=("manifest", "metrics", "shards"), params=(), in_git=("metrics",)
)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A cache with a file and a folder, an empty remote, and the stage with these outputs."""

    home: Path
    stage: Recorded
    remotes: list[str]

    @property
    def cache(self) -> Path:
        return self.home / ".dvc" / "cache"

    @property
    def far(self) -> Path:
        return self.home / "remote"

    def object(self, name: str, store: Path | None = None) -> Path:
        """Where the cache keeps `manifest`, the list `shards`, or a file of that folder."""
        digest = self.stage.outs.get(name) or md5_of(FILES[name])
        return object_in(store or self.cache, digest)

    def to_remote(self) -> None:
        shutil.copytree(self.cache, self.far, dirs_exist_ok=True)

    def faults(self) -> tuple[Fault, ...]:
        with opened(self.home) as repo:

            def remote() -> Remote:
                self.remotes.append("remote")
                return Remote(repo, "")

            return faults(repo, [self.stage], reader=Reader(2), remote=remote)


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    digests = {name: md5_of(data) for name, data in FILES.items()}
    outs = {"manifest": md5_of(b"rows"), "metrics": md5_of(b"in git"), "shards": folder_md5(digests)}
    stage = Recorded(name="shards@drawn", recipe=RECIPE, ran=RECIPE, deps={}, outs=outs, params={})
    place = Stored(home=tmp_path, stage=stage, remotes=[])
    for name, data in {"manifest": b"rows", "shards": listing_bytes(digests), **FILES}.items():
        place.object(name).parent.mkdir(parents=True, exist_ok=True)
        place.object(name).write_bytes(data)
    place.far.mkdir()
    use_remote(tmp_path, place.far)
    return place


@red_when("checks/verify/objects.py", "outputs that git keeps are taken to have objects")
def test_t85_whole_objects_in_the_cache_can_be_pushed_without_reading_a_remote(stored: Stored) -> None:
    assert stored.faults() == ()
    assert stored.remotes == []


@red_when("checks/verify/objects.py", "objects of the cache are taken by their names")
@pytest.mark.parametrize("name", ["manifest", "shards", "a.tar"])
def test_t85_an_altered_object_of_the_cache_is_a_fault_though_the_remote_has_it_whole(
    stored: Stored, name: str
) -> None:
    stored.to_remote()
    flip(stored.object(name))
    [fault] = stored.faults()
    assert (fault.path, fault.stage) == (f"shards/{name}" if name == "a.tar" else name, "shards@drawn")
    assert "in DVC's cache is altered: expected " in fault.result
    assert fault.remove == (stored.object(name).relative_to(stored.home).as_posix(),)


@red_when("checks/verify/objects.py", "an object that lies nowhere is no fault")
@pytest.mark.parametrize("name", ["manifest", "shards", "a.tar"])
def test_t85_an_object_that_the_cache_lacks_must_be_whole_in_the_remote(stored: Stored, name: str) -> None:
    stored.to_remote()
    stored.object(name).unlink()
    assert stored.faults() == ()
    flip(stored.object(name, stored.far))
    [fault] = stored.faults()
    assert "in the remote is altered: expected " in fault.result
    listed = {"a.tar": (str(stored.object("shards", stored.far)),)}.get(name, ())
    assert fault.remove == (str(stored.object(name, stored.far)), *listed), (
        "a folder's file is pushed without its list only"
    )
    stored.object(name, stored.far).unlink()
    [fault] = stored.faults()
    assert fault.result.endswith("is neither in DVC's cache nor in the remote")
    assert fault.remove == listed


@red_when("checks/verify/objects.py", "no remote is opened for what the cache lacks")
def test_t85_a_needed_remote_that_is_down_is_an_error_of_the_machine(stored: Stored) -> None:
    stored.object("manifest").unlink()
    stored.far.rmdir()
    with pytest.raises(MachineError, match="cannot be read"):
        stored.faults()


@red_when("checks/verify/objects.py", "a stage without a record is no fault")
def test_t85_a_stage_or_output_without_a_record_cannot_be_pushed(stored: Stored) -> None:
    never = replace(stored, stage=replace(stored.stage, ran=None, outs={}))
    assert [fault.result for fault in never.faults()] == ["it has no record of the stage"]
    outs: dict[str, str] = {**stored.stage.outs, "manifest": ""}
    assert [each.path for each in replace(stored, stage=replace(stored.stage, outs=outs)).faults()] == ["manifest"]


@red_when("checks/verify/places.py", "a remote that does not answer is waited for without an end")
def test_t85_a_remote_that_never_answers_is_an_error_of_the_machine(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk of another machine that hangs: its client does not come back."""
    stored.object("manifest").unlink()
    never = Event()
    client = SimpleNamespace(exists=lambda _: never.wait(30))
    remote = SimpleNamespace(fs=client, path="/mnt/far", odb=None)
    monkeypatch.setattr("dvc.data_cloud.DataCloud.get_remote", lambda *_: remote)
    monkeypatch.setattr("foalnet.checks.verify.places.ANSWER_S", 0.2)
    with pytest.raises(MachineError, match=r"DVC remote store .* cannot be read: TimeoutError: no answer within 0.2 s"):
        stored.faults()
    never.set()
