"""The work cache of a real project: what the params need stays, and what is swept away is made again, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.projects import change_params, repro, verb

TRAIN = ("train", "drawn", "--variant", "foal", "--seed", "1")


@pytest.fixture
def project(tiny_project: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_project, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def cached(project: Path) -> list[str]:
    return sorted(
        p.relative_to(project).as_posix() for kind in ("clips", "train") for p in project.glob(f"work/{kind}/*")
    )


def shards(project: Path) -> dict[str, bytes]:
    folder = project / "data" / "drawn" / "shards"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.long
def test_a_sweep_leaves_what_the_params_need_and_the_rest_comes_back(project: Path) -> None:
    before, keys = shards(project), cached(project)
    assert len(keys) == 5 + 4 + 1, "clips of five dialogues, states of four runs and of the final model"
    assert "5 of them from the work cache" in verb(project, "shards", "drawn", "--dry-run").stdout
    assert "epochs done, finished" in verb(project, *TRAIN, "--dry-run").stdout
    assert "stays: needed" in verb(project, "gc", "--older-than", "0").stdout
    assert cached(project) == keys
    change_params(project, train={"lr": 0.5})
    printed = verb(project, "gc").stdout
    assert cached(project) == [key for key in keys if key.startswith("work/clips")]
    assert printed.splitlines()[-1].startswith("freed ")
    later = verb(project, *TRAIN, "--dry-run").stdout
    assert "0 epochs done, at most 2 left" in later and "time: not known yet" in later
    verb(project, "gc", "--all")
    assert cached(project) == []
    printed = verb(project, "shards", "drawn", "--dry-run").stdout
    assert "5 to stage" in printed and "time: not known yet" in printed
    repro(project, "-f", "-s", "shards@drawn")
    assert shards(project) == before and len(cached(project)) == 5
