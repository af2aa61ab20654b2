"""DVC's cache linked, on another disk, shared by a group: every stage works and no object changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from foalnet.core.errors import DataError
from foalnet.corpora.inventory import list_files
from tests.support.projects import repro, run, stages_run, verb

SHM = Path("/dev/shm")
KINDS = ["symlink", "hardlink", "reflink", "copy"]
RUN_STAGES = {"draw", "manifest", "shards", "features", "train", "evaluate", "final", "report"}


def dvc(project: Path, *args: str, check: bool = True) -> str:
    """Run DVC in a project and return what it said."""
    done = run(project, "dvc", *args, check=check)
    return done.stdout + done.stderr


def objects(cache: Path) -> dict[str, str]:
    """Return every object of a cache with the MD5 of its bytes."""
    paths = sorted(path for path in (cache / "files" / "md5").rglob("*") if path.is_file())
    return {f"{path.parent.name}{path.name}": hashlib.md5(path.read_bytes()).hexdigest() for path in paths}


def whole(cache: Path) -> set[str]:
    """Return the names of a cache's objects after holding each to its bytes."""
    paths = objects(cache)
    assert {name for name, digest in paths.items() if name.removesuffix(".dir") != digest} == set()
    return set(paths)


@pytest.fixture
def project(tiny_project: Path, tmp_path: Path) -> Path:
    """A copy of the tiny project with its results; its cache is its own."""
    home = tmp_path / "project"
    shutil.copytree(tiny_project, home, symlinks=True)
    return home


def kind_of(path: Path, cache: Path) -> str:
    """Return how an output's file is linked in the workspace."""
    if path.is_symlink():
        assert path.resolve().is_relative_to(cache.resolve())
        return "symlink"
    return "hardlink" if path.stat().st_nlink > 1 else "copy"


def relink(project: Path, kind: str, cache: Path) -> None:
    """Set the kind of link, and make every output such a link; skip where the disk has none."""
    probe = ["cp", "--reflink=always", str(project / "params.yaml"), str(project / "work/reflinked")]
    if kind == "reflink" and subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip(f"the disk of {project} has no reflinks")
    dvc(project, "config", "--local", "cache.type", kind)
    said = dvc(project, "checkout", "--relink", "--force", check=False)
    linked_as = kind_of(next((project / "data/drawn/raw").rglob("*.avi")), cache)
    assert linked_as == ("copy" if kind == "reflink" else kind), said


def walk(project: Path, cache: Path) -> None:
    """Take every verb once more over linked outputs; hold every object of the cache to its bytes."""
    before = whole(cache)
    nothing = repro(project)
    assert {name.partition("@")[0] for name in stages_run(nothing)} == {"inventory"}
    clip = next((project / "data/drawn/raw").rglob("*.avi")).relative_to(project).as_posix()
    for command in (
        ["gc", "--all"],
        ["predict", clip, "--model", "models/drawn/final", "--people", "2"],
        ["sheet", "drawn"],
        ["show", "drawn"],
        ["draw"],
        *([name, "drawn"] for name in ("inventory", "manifest", "shards", "features", "report", "final")),
    ):
        verb(project, *command)
    assert whole(cache) == before, "each verb by hand, over the links that DVC made"
    doctor = verb(project, "doctor", "drawn", check=False)
    assert not [line for line in doctor.stdout.splitlines() if line.startswith("fault")]
    assert whole(cache) == before


def force(project: Path, cache: Path) -> None:
    """Let DVC run every stage once more over links: the same dvc.lock, the same objects."""
    before, lock = whole(cache), (project / "dvc.lock").read_bytes()
    assert {name.partition("@")[0] for name in stages_run(repro(project, "--force"))} >= RUN_STAGES
    assert (project / "dvc.lock").read_bytes() == lock and whole(cache) == before


@pytest.mark.long
def test_what_verbs_write_over_symbolic_links_changes_no_object(project: Path) -> None:
    relink(project, "symlink", project / ".dvc/cache")
    before = whole(project / ".dvc/cache")
    for name in ("inventory", "manifest", "shards", "features", "report", "final"):
        verb(project, name, "drawn")
    assert whole(project / ".dvc/cache") == before


@pytest.mark.long
def test_every_verb_works_over_symbolic_links(project: Path) -> None:
    relink(project, "symlink", project / ".dvc/cache")
    walk(project, project / ".dvc/cache")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_runs_again_over_links(project: Path, kind: str) -> None:
    relink(project, kind, project / ".dvc/cache")
    force(project, project / ".dvc/cache")
    if kind != "symlink":
        walk(project, project / ".dvc/cache")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["symlink", "reflink,hardlink,copy"])
def test_the_cache_is_on_another_disk_and_a_groups(project: Path, kind: str) -> None:
    if not SHM.is_dir() or os.stat(SHM).st_dev == os.stat(project).st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    cache = SHM / f"foalnet-cache-{os.getpid()}"
    shutil.move(project / ".dvc/cache", cache)
    try:
        dvc(project, "cache", "dir", "--local", str(cache))
        dvc(project, "config", "--local", "cache.shared", "group")
        dvc(project, "config", "--local", "cache.type", kind)
        dvc(project, "checkout", "--relink", "--force")
        walk(project, cache)
        one = next(path for path in sorted((cache / "files/md5").rglob("*")) if path.is_file())
        assert stat.S_IMODE(one.stat().st_mode) & stat.S_IRGRP
    finally:
        shutil.rmtree(cache)


def test_links_of_a_foreign_corpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the project a link into its own cache is DVC's; outside it, or to anywhere else, it leads out."""
    home, foreign = tmp_path / "home", tmp_path / "foreign"
    kept = home / ".dvc/cache/files/md5/ab/cdef"
    for path in (kept, home / "secret", home / "data/x/a", foreign / "a"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    monkeypatch.chdir(home)
    (home / "data/x/b").symlink_to(kept)
    assert list_files(Path("data/x")) == ["a", "b"]
    for link, target in ((home / "data/x/c", home / "secret"), (foreign / "c", kept)):
        link.symlink_to(target)
        with pytest.raises(DataError, match="a link leads out of the corpus folder"):
            list_files(link.parent)
