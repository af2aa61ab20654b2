"""What a champion or a waiting run needs stays in DVC's cache, and what of a champion is lost is named."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.retrain import bring_up_to_date
from foalnet.artifact.gitrepo import commit_of, git, text_at
from foalnet.checks.cache import loss_of
from foalnet.checks.doctor import Context
from foalnet.checks.doctor.project import champions as check_champions
from foalnet.cli.main import cli
from foalnet.config import load_params
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.locks import lock
from foalnet.evidence.champion import champion_of, commit_tree, mark_unpushed, message, promote
from tests.flows.test_t85_push import md5_in
from tests.flows.test_worktree import at_once, retrained
from tests.support.projects import REPOSITORY
from tests.support.remotes import object_in, use_remote

GRAPH = """\
stages:
  final:
    foreach: ${corpora}
    do:
      cmd: foalnet final ${key}
      outs: ["models/${key}/final", "models/${key}/card.json"]
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project with one stage, in which no verb was run: commits, and objects in DVC's cache, made by hand."""

    home: Path
    cache: Path

    def put(self, data: bytes) -> str:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        path = object_in(self.cache, md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return md5

    def made(self, name: str) -> list[str]:
        """Make outputs, record them in dvc.lock, and return their objects: a folder's list, its two files, a file."""
        files = [self.put(f"{name} {part}".encode()) for part in ("weights", "words")]
        rows = [{"md5": md5, "relpath": f"{place}.txt"} for place, md5 in enumerate(files)]
        listed = self.put(json.dumps(rows).encode())
        object_in(self.cache, listed).rename(object_in(self.cache, f"{listed}.dir"))
        card = self.put(f"{name} card".encode())
        named = {"models/drawn/final": f"{listed}.dir", "models/drawn/card.json": card}
        outs = json.dumps([{"path": path, "md5": md5, "hash": "md5"} for path, md5 in named.items()])
        text = f"schema: '2.0'\nstages:\n  final@drawn:\n    cmd: foalnet final drawn\n    outs: {outs}\n"
        (self.home / "dvc.lock").write_text(text)
        return [f"{listed}.dir", *files, card]

    def commit(self, name: str, parent: str) -> str:
        git(self.home, "add", "-A")
        tree = git(self.home, "write-tree").stdout.strip()
        return commit_tree(self.home, tree, [parent], message(name, f"drawn-{name}-x"))

    def promoted(self, name: str) -> list[str]:
        objects = self.made(name)
        promote(
            self.home, "drawn", self.commit(name, str(champion_of(self.home, "drawn") or commit_of(self.home, "HEAD")))
        )
        return objects

    def ran(self, name: str) -> list[str]:
        """Make a run that is on its branch alone."""
        objects = self.made(name)
        commit = self.commit(name, str(commit_of(self.home, "HEAD")))
        git(self.home, "update-ref", f"refs/heads/runs/drawn-{name}", commit)
        return objects

    def lacks(self, objects: list[str]) -> list[bool]:
        return [not object_in(self.cache, md5).is_file() for md5 in objects]

    def lose(self, objects: list[str]) -> None:
        for md5 in objects:
            object_in(self.cache, md5).unlink()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    home = tmp_path / "project"
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    (home / ".dvc").mkdir()
    (home / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (home / ".dvc" / ".gitignore").write_text("/cache\n/tmp\n/config.local\n")
    (home / ".gitignore").write_text("/models\n/work\n")
    (home / "dvc.yaml").write_text(GRAPH)
    shutil.copy(REPOSITORY / "params.yaml", home)
    git(home, "add", "-A")
    git(home, "commit", "-qm", "project")
    monkeypatch.chdir(home)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return Project(home=home, cache=home / ".dvc" / "cache")


def foalnet(*arguments: str) -> str:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout


def test_gc_keeps_every_champion_every_branch_and_every_waiting_run(project: Project) -> None:
    first, second = project.promoted("one"), project.promoted("two")
    refused, waiting, gone = project.ran("refused"), project.ran("waiting"), project.ran("gone")
    here = project.made("here")
    mark_unpushed(project.home, "drawn", "runs/drawn-waiting")
    git(project.home, "branch", "-D", "runs/drawn-waiting", "runs/drawn-gone")
    assert "would free" in foalnet("gc", "--cache", "--dry-run") and not any(project.lacks(gone))
    said = foalnet("gc", "--cache")
    assert said.endswith(" of DVC's cache, 4 objects\n") and said.startswith("freed ")
    assert all(project.lacks(gone))
    for kept in (first, second, refused, waiting, here):
        assert not any(project.lacks(kept))
    git(project.home, "branch", "-D", "runs/drawn-refused")
    assert "4 objects" in foalnet("gc", "--cache")
    assert all(project.lacks(refused)) and not any(project.lacks([*first, *second, *waiting, *here]))


def test_gc_leaves_the_cache_alone_while_a_flow_is_at_work_or_others_may_need_it(
    project: Project, tmp_path: Path
) -> None:
    with lock(project.home / "work" / "locks" / "retrain-drawn"), pytest.raises(MachineError):
        foalnet("gc", "--cache")
    other = Project(home=shutil.copytree(project.home, tmp_path / "other"), cache=project.cache)
    theirs, mine = other.made("theirs"), project.made("mine")
    moved = tmp_path / "shared"
    project.cache.rename(moved)
    for each in (project, other):
        (each.home / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {moved}\n")
    with pytest.raises(UsageError, match="is outside this project"):
        foalnet("gc", "--cache")
    shared = Project(home=project.home, cache=moved)
    assert "0 objects" in foalnet("gc", "--cache", "--project", str(other.home))
    assert not any(shared.lacks([*theirs, *mine]))
    assert "4 objects" in foalnet("gc", "--cache", "--project", ".")
    assert all(shared.lacks(theirs)) and not any(shared.lacks(mine))


def test_loss_is_named_by_champion_doctor_and_rollback(project: Project, tmp_path: Path) -> None:
    first, second = project.promoted("one"), project.promoted("two")
    commits = git(project.home, "rev-parse", "champions/drawn", "champions/drawn^").stdout.split()
    context = Context(corpora=(load_params("drawn"),))
    assert [finding.level for finding in check_champions(context)] == ["ok"]
    assert "neither" not in foalnet("champion")

    project.lose([second[1]])
    assert loss_of(project.home, "drawn", commits[0]).lost == ("models/drawn/final",)
    assert "of the champion in force, neither in DVC's cache nor in a remote: models/drawn/final" in foalnet("champion")
    [finding] = check_champions(context)
    assert finding.level == "fault" and "models/drawn/final" in finding.message
    assert f"git switch --detach {commits[0][:10]} && dvc repro" in finding.mend

    project.lose([first[0], first[3]])
    with pytest.raises(DataError, match=r"models/drawn/card\.json, models/drawn/final; nothing was changed"):
        foalnet("rollback", "drawn")
    assert champion_of(project.home, "drawn") == commits[0]

    # What a remote has is not lost; one that does not answer is no proof of a loss.
    remote = tmp_path / "remote"
    use_remote(project.home, remote)
    assert loss_of(project.home, "drawn", commits[0]).away == ("models/drawn/final",)
    with pytest.raises(MachineError, match="is its disk mounted"):
        foalnet("rollback", "drawn")
    shutil.copytree(project.cache, remote)
    again = Project(home=project.home, cache=remote)
    again.made("one")
    again.made("two")
    assert str(loss_of(project.home, "drawn", commits[0])) == "" == str(loss_of(project.home, "drawn", commits[1]))
    assert "recorded as commit" in foalnet("rollback", "drawn")


def test_a_remote_on_the_network_gets_no_request_without_leave(project: Project) -> None:
    objects = project.promoted("one")
    (project.home / ".dvc" / "config.local").write_text(
        "[core]\n    remote = far\n['remote \"far\"']\n    url = s3://nowhere/x\n"
    )
    project.lose(objects)
    [finding] = check_champions(Context(corpora=(load_params("drawn"),)))
    assert (finding.level, finding.mend) == ("warning", "foalnet doctor --remote")
    assert "its remote was not contacted" in finding.message


@pytest.mark.long
def test_a_run_that_cannot_be_paired_with_the_champion_is_not_promoted(toy: Path) -> None:
    one = retrained(toy, "one", 0.80)
    assert one["promoted"]
    recorded = str(text_at(toy, "champions/drawn", "dvc.lock"))
    object_in(toy / ".dvc" / "cache", md5_in(recorded, "reports/drawn/runs/foal-s1")).unlink()
    better = retrained(toy, "two", 0.90)
    assert not better["promoted"]
    assert "cannot be compared, the champion's predictions are in neither DVC's cache nor a remote" in str(
        better["says"]
    )
    assert bring_up_to_date(toy, "drawn", run=at_once, publish=lambda *_: None)["outcome"] == "Unchanged"
