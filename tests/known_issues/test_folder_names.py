"""The project's folder may have any name: spaces, quotes, umlauts, CJK, emoji, 200 letters, under any locale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.worktree import worktree
from foalnet.artifact.gitrepo import git
from foalnet.checks.doctor import project as checks
from foalnet.config import load_settings
from tests.flows.conftest import server, toy, toy_source  # noqa: F401
from tests.flows.helpers import Server
from tests.support.projects import environment, program, run

NAME = "Größe, it's 漢字 #1 😀 "


@pytest.fixture
def odd(toy: Path, tmp_path: Path) -> Path:  # noqa: F811
    """The toy project in a folder of such a name, 200 letters with what is above it."""
    place = tmp_path / NAME.strip()
    while len(str(place)) < 190:
        place /= "x" * min(60, max(1, 199 - len(str(place))))
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(toy, place, symlinks=True))


def test_a_worktree_there_has_the_operators_cache_and_remotes(odd: Path) -> None:
    far = odd.parent / "far ü"
    local = odd / ".dvc/config.local"
    local.write_text(f"['remote \"far\"']\n    url = {far.name}\n", "utf-8")
    env = environment(odd)
    code = (
        "from dvc.repo import Repo\nr = Repo()\nprint(r.cache.local_cache_dir)\nprint(r.config['remote']['far']['url'])"
    )
    with worktree(odd, "drawn", load_settings(odd)) as tree:
        for more in ({}, {"LC_ALL": "C"}):
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=tree.folder,
                env=env | tree.env | more,
                capture_output=True,
                check=True,
            )
            shown = [os.fsdecode(line) for line in done.stdout.splitlines()]
            assert shown == [str(odd / ".dvc/cache"), str(odd / ".dvc" / far.name)]


def test_the_doctors_advice_works_there(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd)
    monkeypatch.setattr(checks, "private", lambda _: False)
    (finding,) = checks._site_cache({})
    run(odd, "bash", "-c", f'{finding.mend} && test -d "$PWD/.dvc/tmp/site" && dvc config --list')
    assert not (odd / ".dvc/config.local").exists()


@pytest.mark.long
def test_the_flow_and_the_verbs_run_there(server: Server, odd: Path) -> None:  # noqa: F811
    for more in ({}, {"LC_ALL": "C"}):
        env = server.environment(odd) | more
        command = [sys.executable, "-c", "from flows.retrain import retrain; retrain()"]
        done = subprocess.run(command, cwd=odd, env=env, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr[-3000:]
    assert git(odd, "branch", "--list", "champions/drawn").stdout != ""
    for arguments in (["champion"], ["gc", "--dry-run"], ["config"]):
        program(odd, *arguments, LC_ALL="C")
    assert "UnicodeEncodeError" not in program(odd, "doctor", check=False, LC_ALL="C").stderr
