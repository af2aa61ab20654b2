"""`add-corpus` makes files that `git commit -a` leaves out: it says so, and the flow that lacks them names them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.retrain import bring_up_to_date
from foalnet.core.errors import UsageError
from tests.flows.conftest import toy, toy_source  # noqa: F401
from tests.flows.helpers import calls
from tests.support.projects import run, verb

NEW = ("data/mine.sides.txt", "data/mine.source.json")


def git(project: Path, *args: str) -> str:
    return run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args).stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "Audio_Speech_Actors_01-24" / "Actor_01"
    folder.mkdir(parents=True)
    (folder / "03-01-05-01-01-01-01.wav").write_bytes(b"RIFF")
    return folder.parent


def test_the_command_that_add_corpus_prints_is_what_git_needs(toy: Path, root: Path) -> None:  # noqa: F811
    said = verb(toy, "add-corpus", "ravdess", "--root", str(root), "--name", "mine").stdout
    (line,) = (each for each in said.splitlines() if "git add" in each)
    command = line.partition("git add ")[2].partition(" (")[0].split()
    assert set(NEW) <= set(command)
    git(toy, "commit", "-qam", "as many do")
    with pytest.raises(UsageError, match="not in git") as refusal:
        bring_up_to_date(toy, "mine", run=lambda *_: [], publish=lambda *_: None)
    assert f"git add {' '.join(NEW)} && git commit" in str(refusal.value)
    assert calls(toy) == []
    subprocess.run(["git", "add", *command], cwd=toy, check=True)
    git(toy, "commit", "-qm", "now whole")
    assert git(toy, "status", "--porcelain") == ""
    again = verb(toy, "add-corpus", "ravdess", "--root", str(root), "--name", "mine").stdout
    assert "git add" not in again


def test_new_code_that_a_stage_depends_on_is_named_too(toy: Path) -> None:  # noqa: F811
    (toy / "foalnet/clips/mine.py").write_text("# new\n")
    with pytest.raises(UsageError, match=r"read by a stage: foalnet/clips/mine\.py"):
        bring_up_to_date(toy, "drawn", run=lambda *_: [], publish=lambda *_: None)
