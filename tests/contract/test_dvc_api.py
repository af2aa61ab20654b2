"""What foalnet uses of DVC's Python API, which DVC does not promise: an upgrade that breaks it fails here first."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from foalnet.artifact.digests import folder_md5, listing_bytes, parse_listing
from foalnet.artifact.dvcrepo import OBJECTS, dvc_cache, dvc_config, opened
from foalnet.core.errors import UsageError

GRAPH: dict[str, Any] = {
    "vars": [{"end": ".txt"}],
    "stages": {
        "first": {"cmd": "make a", "deps": ["in.txt"], "outs": ["a"]},
        "then": {
            "foreach": "${corpora}",
            "do": {
                "cmd": "make b ${key}",
                "deps": ["a/x${end}"],
                "params": ["corpora.${key}.size"],
                "outs": [{"b/${key}": {"persist": True}}],
                "metrics": [{"m/${key}.json": {"cache": False}}],
                "plots": ["p/${key}.svg"],
            },
        },
        "last": {"cmd": "make c", "deps": ["b/one"], "outs": ["c"]},
    },
}
LOCK: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        "then@one": {
            "cmd": "make b one",
            "deps": [{"path": "a/x.txt", "hash": "md5", "md5": "0" * 32, "size": 1}],
            "params": {"params.yaml": {"corpora.one.size": 1}},
            "outs": [{"path": "gone", "hash": "md5", "md5": "1" * 32, "size": 1}],
        }
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    home = tmp_path / "project"
    (home / ".dvc").mkdir(parents=True)
    (home / ".dvc" / "config.local").write_text("['remote \"far\"']\n    url = ../../far\n")
    (home / "dvc.yaml").write_text(yaml.safe_dump(GRAPH, sort_keys=False))
    (home / "dvc.lock").write_text(yaml.safe_dump(LOCK, sort_keys=False))
    (home / "params.yaml").write_text("corpora: {one: {size: 1}, two: {size: 2}}\n")
    return home


def paths(repo: Any) -> list[str]:
    return sorted(path.relative_to(repo.root_dir).as_posix() for path in Path(repo.root_dir).rglob("*"))


def test_a_repo_that_is_opened_for_reading_writes_nothing_in_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither databases, nor the file that marks its time, nor lines for git to ignore; no lock is taken."""
    from dvc.dvcfile import load_file

    (project / ".git").mkdir()
    # It prevails over DVC's configuration.
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / "site"))
    with opened(project) as one, opened(project) as other:
        before = paths(one)
        for repo in (one, other):
            list(load_file(repo, str(project / "dvc.yaml")).stages.values())
            assert repo.cloud.get_remote("far").odb is not None
        scratch = Path(one.tmp_dir)
        assert paths(one) == before and scratch.is_dir() and not scratch.is_relative_to(project)
    assert not scratch.exists()


def test_the_folders_above_are_no_project(project: Path) -> None:
    (project / "below").mkdir()
    with pytest.raises(UsageError, match="no DVC project"), opened(project / "below"):
        pass


def test_stages_are_filled_in_and_have_their_records(project: Path) -> None:
    from dvc.dependency import ParamsDependency
    from dvc.dvcfile import load_file
    from dvc.repo.index import Index
    from networkx import descendants

    with opened(project) as repo:
        recipes = load_file(repo, str(project / "dvc.yaml")).stages
        assert list(recipes) == ["first", "then@one", "then@two", "last"]
        assert recipes.lockfile_data == LOCK["stages"]
        every = list(recipes.values())
        stages = {stage.name: stage for stage in every}
        graph = Index(repo, stages=every).graph
        assert {stage.name for stage in descendants(graph, stages["last"])} == {"then@one", "first"}
    stage = stages["then@one"]
    assert stage.cmd == "make b one"
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    assert [dep.params for dep in params] == [["corpora.one.size"]]
    assert [dep.def_path for dep in stage.deps if dep not in params] == ["a/x.txt"]
    assert {out.def_path: out.use_cache for out in stage.outs} == {
        "b/one": True,
        "m/one.json": False,
        "p/one.svg": True,
    }


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock", "params.yaml"])
@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "stages: {a: {cmd: 3, x: 1}}\n", None])
def test_what_dvc_cannot_read_is_an_error_of_its_own(project: Path, name: str, text: str | None) -> None:
    from dvc.dvcfile import load_file
    from dvc.exceptions import DvcException

    if text is None:
        (project / name).unlink()
    else:
        (project / name).write_text(text)
    with opened(project) as repo:
        if (name, text) == ("dvc.lock", None):
            assert load_file(repo, str(project / "dvc.yaml")).stages.lockfile_data == {}
        else:
            with pytest.raises(DvcException):
                list(load_file(repo, str(project / "dvc.yaml")).stages.values())


def test_where_objects_are_in_the_cache_and_in_a_remote(project: Path) -> None:
    name = "0123" + "4" * 28
    with opened(project) as repo:
        assert Path(repo.cache.local.oid_to_path(name)) == dvc_cache(project) / "01" / name[2:]
        remote = repo.cloud.get_remote("far")
        assert Path(remote.path) == project.parent / "far"
        assert Path(remote.odb.oid_to_path(f"{name}.dir")) == Path(remote.path, *OBJECTS, "01", f"{name[2:]}.dir")
        assert not remote.fs.exists(remote.path)
        with pytest.raises(FileNotFoundError):
            remote.odb.fs.open(remote.odb.oid_to_path(name), "rb")
        assert list(repo.config["remote"]) == list(dvc_config(project)["remote"]) == ["far"]


def test_which_files_dvc_sees(project: Path) -> None:
    from dvc.fs import localfs

    (project / ".dvcignore").write_text("*.tmp\n")
    (project / "a" / "b").mkdir(parents=True)
    for name in ("x", "b/y", "b/z.tmp", ".h"):
        (project / "a" / name).write_text(name)
    with opened(project) as repo:
        base = str(project / "a")
        files = {Path(name).relative_to(base).as_posix() for name in repo.dvcignore.find(localfs, base)}
    assert files == {"x", "b/y", ".h"}


def test_a_folders_digest_is_dvcs(tmp_path: Path) -> None:
    """DVC's own builder records a folder."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "folder"
    files = {"b.txt": b"b", "a/ä ö.txt": b"a", "a.txt": b"", "a-b.txt": b"x"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    fs = LocalFileSystem()
    _, _, tree = build(HashFileDB(fs, str(tmp_path / "odb")), str(folder), fs, "md5", dry_run=True)
    here = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
    assert folder_md5(here) == tree.hash_info.value
    assert parse_listing(listing_bytes(here)) == here


@pytest.mark.parametrize(("mode", "after"), [(0o444, "trusted"), (0o644, "removed")])
def test_dvcs_own_status_trusts_or_removes_damaged_objects(
    project: Path, monkeypatch: pytest.MonkeyPatch, mode: int, after: str
) -> None:
    """It trusts a damaged object that is read-only and removes one that is not: here every object is read."""
    name = hashlib.md5(b"whole").hexdigest()
    lock = {**LOCK["stages"]["then@one"], "outs": [{"path": "b/one", "hash": "md5", "md5": name, "size": 5}]}
    (project / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"then@one": lock}}))
    (project / "b").mkdir()
    (project / "b" / "one").write_bytes(b"whole")
    place = dvc_cache(project) / name[:2] / name[2:]
    place.parent.mkdir(parents=True)
    place.write_bytes(b"wrong")
    place.chmod(mode)
    monkeypatch.chdir(project)
    with opened(project) as repo:
        status = str(repo.status(["then@one"]))
    assert ("'b/one': 'not in cache'" in status, place.exists()) == (after == "removed", after == "trusted")
