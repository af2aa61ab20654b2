"""T86: a corrupted object of a remote or of DVC's cache, and one that is missing, are named by `foalnet verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foalnet.checks.verify import code_of
from foalnet.core.errors import MachineError, UsageError
from tests.support.marks import red_when
from tests.support.projects import run, verb
from tests.support.remotes import Place, broken, flip, links, object_in

SHARD = "Session1/000000.tar"


@pytest.fixture
def place(pushed: Place, tmp_path: Path) -> Place:
    return pushed.copy(tmp_path)


@red_when("checks/verify/outputs.py", "objects of a remote are taken by their names")
@pytest.mark.long
def test_t86_one_flipped_byte_of_a_remote_object_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = place.md5("data/drawn/shards", SHARD)
    flip(object_in(place.remote, md5), 5000)
    results = place.links(monkeypatch, "store")
    [link] = broken(results)
    assert (link.verdict, link.name, code_of(results)) == ("differs", "shards@drawn output data/drawn/shards", 3)
    assert f"remote: data/drawn/shards/{SHARD}, object {object_in(place.remote, md5)}" in link.result
    assert f"expected {md5[:16]}… (its name)" in link.result
    # What the line says is done, and nothing is left to say.
    folder = object_in(place.remote, place.md5("data/drawn/shards"))
    assert link.action == f"remove {object_in(place.remote, md5)} and {folder}, then dvc push shards@drawn"
    object_in(place.remote, md5).unlink()
    folder.unlink()
    run(place.project, "dvc", "push", "shards@drawn")
    assert broken(place.links(monkeypatch, "store")) == []


@pytest.mark.long
@red_when("checks/verify/outputs.py", "the list of a folder is not among its objects")
def test_t86_a_flipped_byte_of_a_folders_list_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = place.md5("data/drawn/shards")
    flip(object_in(place.remote, md5), 30)
    [link] = broken(place.links(monkeypatch, "store"))
    assert "remote: the list of data/drawn/shards, object " in link.result


@red_when("checks/verify/outputs.py", "missing objects are not reported")
@pytest.mark.long
def test_t86_a_missing_remote_object_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    object_in(place.remote, place.md5("models/drawn/foal-s1", "logits.safetensors")).unlink()
    assert broken(place.links(monkeypatch)) == [], "without --remote it is not asked"
    results = place.links(monkeypatch, "")
    [link] = broken(results)
    assert (link.verdict, code_of(results)) == ("absent", 4)
    assert link.result == "the remote store lacks models/drawn/foal-s1/logits.safetensors"
    folder = object_in(place.remote, place.md5("models/drawn/foal-s1"))
    assert link.action == f"remove {folder}, then dvc push train@drawn-foal-s1"
    folder.unlink()
    run(place.project, "dvc", "push", "train@drawn-foal-s1")
    assert broken(place.links(monkeypatch, "")) == []


@red_when("checks/verify/outputs.py", "objects of the cache are taken by their names")
@pytest.mark.long
def test_t86_a_cache_object_altered_in_place_is_named_though_dvc_sees_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = place.md5("data/drawn/manifest.jsonl")
    kept = object_in(place.cache, md5)
    flip(kept)
    assert "up to date" in run(place.project, "dvc", "status", "manifest@drawn").stdout
    results = place.links(monkeypatch)
    [link] = broken(results)
    assert (link.verdict, link.name, code_of(results)) == (
        "differs",
        "manifest@drawn output data/drawn/manifest.jsonl",
        3,
    )
    where = kept.relative_to(place.project)
    assert f"cache: data/drawn/manifest.jsonl, object {where}: expected {md5[:16]}…" in link.result
    assert link.action == f"remove {where}, then dvc commit --force manifest@drawn"
    kept.unlink()
    run(place.project, "dvc", "commit", "--force", "manifest@drawn")
    assert broken(place.links(monkeypatch)) == []


@red_when("stages/link.py", "sizes are compared, digests are not")
@pytest.mark.long
def test_t86_what_was_pulled_corrupted_is_named(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(object_in(place.remote, place.md5("data/drawn/shards", SHARD)), 5000)
    clone = place.clone(tmp_path / "clone")
    run(clone, "dvc", "pull", "shards@drawn", check=False)
    results = links(clone, monkeypatch)
    named = [link for link in results if link.verdict == "differs"]
    assert {link.name for link in named} == {"shards@drawn output data/drawn/shards", "shards by their index"}
    assert all(SHARD in link.result for link in named)


@red_when("checks/verify/store.py", "content is never read from the remote")
@pytest.mark.long
def test_t86_a_fresh_clone_is_verified_from_the_remote_alone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = place.clone(tmp_path / "clone")
    bare = links(clone, monkeypatch)
    assert code_of(bare) == 4
    lacking = next(link for link in broken(bare) if link.name == "draw output data/drawn/raw")
    assert lacking.action.startswith("dvc pull draw")
    full = links(clone, monkeypatch, "")
    assert broken(full) == []
    assert not (clone / "data" / "drawn" / "shards").exists() and not (clone / ".dvc" / "cache").exists()
    assert [link.name for link in full] == [link.name for link in place.links(monkeypatch, "")]


@red_when("checks/verify/places.py", "it is not checked that the remote's folder exists")
def test_t86_a_remote_that_is_not_there_ends_with_4_and_an_unknown_one_with_2(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no DVC remote 'nosuch'; there are: store"):
        place.links(monkeypatch, "nosuch")
    shutil.rmtree(place.remote)
    with pytest.raises(MachineError, match="is its disk mounted"):
        place.links(monkeypatch, "")
    done = verb(place.project, "verify", "drawn", "--remote", check=False)
    assert done.returncode == 4 and "Traceback" not in done.stderr
