"""`retrain` in a checkout of its own, with toy verbs: branches, gate, promotion; the operator's files stay as they are.

The stages run by one `dvc repro` here, one run instead of four, for speed; test_server has a task for each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.retrain import bring_up_to_date
from flows.stages import Stage, StageFailed, environment, reproduce, up_to_date
from flows.tasks import ALWAYS_RUNS, RETRY_DELAYS_S
from flows.worktree import worktree
from foalnet.artifact.gitrepo import commit_of, text_at
from foalnet.config import load_settings
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import sha256_file
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.evidence.champion import history, rollback
from tests.flows.helpers import calls
from tests.flows.toy_verbs import CONTENT, SCORES
from tests.support.projects import change_params, run, stages_run, verb


def at_once(stages: Sequence[Stage], folder: Path, env: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Run the stages without Prefect's engine, by one command, once what is up to date was linked as in the flow."""
    corpus = stages[-1].name.partition("@")[2]
    up_to_date([each.name for each in stages if not each.name.startswith(ALWAYS_RUNS)], folder, env=env)
    command = [sys.executable, "-m", "dvc", "repro", f"final@{corpus}", f"report@{corpus}"]
    done = subprocess.run(command, cwd=folder, env=environment() | (env or {}), capture_output=True, text=True)
    if done.returncode != 0:
        raise StageFailed("all", done.returncode, done.stdout + done.stderr)
    ran = set(stages_run(done))
    return [{"stage": each.name, "ran": each.name in ran} for each in stages]


@pytest.fixture(scope="module")
def small_source(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with a single run."""
    project = shutil.copytree(toy_source, tmp_path_factory.mktemp("small") / "project", symlinks=True)
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["corpora"]["drawn"]["variants"] = ["foal"]
    params["runs"] = {name: each for name, each in params["runs"].items() if each["variant"] == "foal"}
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    git(project, "commit", "-qam", "one run")
    return project


@pytest.fixture
def toy(toy: Path, small_source: Path) -> Path:
    """The toy project with a single run, in the place of the one with four."""
    shutil.rmtree(toy)
    return shutil.copytree(small_source, toy, symlinks=True)


def retrain(project: Path, runner: Any = at_once) -> dict[str, Any]:
    return bring_up_to_date(project, "drawn", run=runner, publish=lambda *_: None)


def git(project: Path, *args: str) -> str:
    return run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args).stdout.strip()


def files(project: Path) -> dict[str, str]:
    """Digest of every file of the operator's checkout: sources, data, DVC's files; not the shared caches."""
    shared = {".git", "work", "cache", "tmp", "__pycache__"}
    return {
        path.relative_to(project).as_posix(): sha256_file(path)
        for path in sorted(project.rglob("*"))
        if path.is_file() and not shared & set(path.relative_to(project).parts) and path.name != "calls.txt"
    }


def metrics(ua: float, utterances: int = 8) -> dict[str, Any]:
    scores = SCORES | {"ua": ua, "ua_low": ua - 0.01, "ua_high": ua + 0.01}
    return CONTENT["report", "metrics.json"] | {
        "variants": {"foal": scores},
        "data": {"utterances": utterances, "speakers": 2},
    }


def retrained(project: Path, name: str, ua: float, **more: int) -> dict[str, Any]:
    """Change a param as a person would, have the toys score `ua`, and retrain."""
    evaluated = CONTENT["evaluate", "metrics.json"] | {"ua": ua}
    results = {"reports/drawn/metrics.json": metrics(ua, **more), "reports/drawn/runs/foal-s1/metrics.json": evaluated}
    (project / "toy_results.json").write_text(json.dumps(results))
    seed = zlib.crc32(name.encode())
    change_params(project, report={"seed": seed}, evaluate={"calibration_bins": round(100 * ua)})
    git(project, "commit", "-qam", name)
    return retrain(project)


@pytest.mark.long
def test_the_operators_checkout_is_never_touched_and_nothing_new_is_committed_twice(toy: Path) -> None:
    before, head, branch = files(toy), commit_of(toy, "HEAD"), git(toy, "branch", "--show-current")
    first = retrain(toy)
    assert len(json.dumps(first)) < 64_000, "T84"
    assert len(first["ran"]) == len(calls(toy)) == 9
    assert first["promoted"]
    assert "no champion yet" in first["says"]
    assert files(toy) == before
    assert git(toy, "status", "--porcelain", "--untracked-files=no") == ""
    assert (commit_of(toy, "HEAD"), git(toy, "branch", "--show-current")) == (head, branch)
    assert commit_of(toy, "champions/drawn") == commit_of(toy, first["branch"])
    assert not (toy / "work/worktrees/drawn").exists()
    assert git(toy, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert Path(first["report"]).is_file()
    assert git(toy, "log", "-1", "--format=%an", "champions/drawn") == "foalnet retrain"
    changed = git(toy, "diff", "--name-only", "HEAD", "champions/drawn").split()
    assert changed == [
        "dvc.lock",
        "reports/drawn/gate.json",
        "reports/drawn/gate.md",
        "reports/drawn/headline.json",
        "reports/drawn/metrics.json",
    ]
    again = retrain(toy)
    assert again["ran"] == ["inventory@drawn"]
    assert again["branch"] is None
    assert "nothing changed" in again["says"]
    assert git(toy, "branch", "--list", "runs/*").split() == [first["branch"]]


@pytest.mark.long
def test_the_worktree_leaves_the_lock_of_dvc_repro(toy: Path, tmp_path: Path) -> None:
    laptop = shutil.copytree(toy, tmp_path / "laptop", symlinks=True)
    run(laptop, "dvc", "repro")
    retrain(toy)
    assert text_at(toy, "champions/drawn", "dvc.lock") == (laptop / "dvc.lock").read_text()


@pytest.mark.long
def test_a_worse_run_is_refused_kept_on_its_branch_and_not_committed_again(toy: Path) -> None:
    retrained(toy, "one", 0.80)
    champion = commit_of(toy, "champions/drawn")
    worse = retrained(toy, "two", 0.70)
    assert not worse["promoted"]
    assert "UA of foal: -10.0 points" in worse["says"]
    assert commit_of(toy, "champions/drawn") == champion
    decision = json.loads(text_at(toy, worse["branch"], "reports/drawn/gate.json") or "")
    assert decision["promote"] is False
    assert decision["champion"]["commit"] == champion
    assert "refused: the champion stays" in (text_at(toy, worse["branch"], "reports/drawn/gate.md") or "")
    again = retrain(toy)
    assert again["branch"] == worse["branch"]
    assert "nothing changed since" in again["says"]
    better = retrained(toy, "three", 0.81)
    assert better["promoted"]
    assert [each.run for each in history(toy, "drawn")] == [better["run"], history(toy, "drawn")[1].run]
    # The operator's commits are part of the champion's history.
    assert git(toy, "merge-base", "--is-ancestor", "HEAD", "champions/drawn") == ""


@pytest.mark.long
def test_less_data_is_refused(toy: Path) -> None:
    retrained(toy, "one", 0.80)
    less = retrained(toy, "two", 0.90, utterances=7)
    assert not less["promoted"]
    assert "7 utterances, the champion had 8" in less["says"]


@pytest.mark.long
def test_rollback_is_one_command_keeps_history_and_is_not_undone_by_the_next_run(toy: Path) -> None:
    one = retrained(toy, "one", 0.80)
    two = retrained(toy, "two", 0.82)
    before = files(toy)
    commits = [commit_of(toy, each["branch"]) for each in (one, two)]
    done = verb(toy, "rollback", "drawn")
    assert one["run"] in done.stdout
    assert two["run"] in done.stdout
    assert files(toy) == before
    assert git(toy, "rev-parse", "champions/drawn^{tree}") == git(toy, "rev-parse", f"{commits[0]}^{{tree}}")
    assert commit_of(toy, "champions/drawn^1") == commits[1], "the branch moved forward, nothing was rewritten"
    shown = verb(toy, "champion").stdout.splitlines()
    assert shown[0] == "drawn:"
    assert [line[0] for line in shown[1:]] == [" ", " ", "*"]
    assert "rollback to" in shown[1]
    again = retrain(toy)
    assert not again["promoted"]
    assert "rolled back by `foalnet rollback`" in again["says"]
    with pytest.raises(UsageError, match="is the first champion"):
        rollback(toy, "drawn")
    with pytest.raises(UsageError, match="never was a champion"):
        rollback(toy, "drawn", "HEAD")
    assert commits[1] is not None
    assert rollback(toy, "drawn", commits[1])[1].commit == commits[1]
    assert "nothing changed" in retrain(toy)["says"]
    assert rollback(toy, "drawn")[1].commit == commits[0]


@pytest.mark.long
def test_a_champion_that_somebody_has_checked_out_is_not_moved(toy: Path) -> None:
    retrained(toy, "one", 0.80)
    champion = commit_of(toy, "champions/drawn")
    git(toy, "worktree", "add", "-q", str(toy.parent / "mine"), "champions/drawn")
    result = retrained(toy, "two", 0.82)
    assert not result["promoted"]
    assert "is checked out" in result["says"]
    assert commit_of(toy, result["branch"]) is not None
    assert commit_of(toy, "champions/drawn") == champion


def test_t17_a_dirty_tree_or_an_unfinished_merge_is_refused_before_anything_runs(toy: Path) -> None:
    (toy / "params.yaml").write_text((toy / "params.yaml").read_text() + "# mine\n")
    with pytest.raises(UsageError, match=r"not committed: params\.yaml") as refusal:
        retrain(toy)
    assert "git stash" in str(refusal.value)
    git(toy, "checkout", "params.yaml")
    (toy / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n=======\n>>>>>>> other\n")
    with pytest.raises(UsageError, match="conflict marker"):
        retrain(toy)
    git(toy, "add", "-f", "dvc.lock")
    git(toy, "commit", "-qm", "committed as it is")
    with pytest.raises(UsageError, match="conflict marker"):
        retrain(toy)
    assert calls(toy) == []
    assert commit_of(toy, "champions/drawn") is None


@pytest.mark.long
def test_what_a_killed_run_left_is_removed_and_a_failed_run_leaves_nothing(toy: Path) -> None:
    left = toy / "work/worktrees/drawn"
    git(toy, "worktree", "add", "-q", "--detach", str(left))
    (left / "half.txt").write_text("of a dead run")
    (toy / "toy.json").write_text(json.dumps({"report@drawn": [3]}))
    with pytest.raises(StageFailed):
        retrain(toy)
    assert not left.exists()
    assert git(toy, "branch", "--list", "runs/*") == ""
    made = calls(toy)
    assert retrain(toy)["promoted"]
    # What the failed run finished comes from DVC's cache.
    assert calls(toy)[len(made) :] == ["inventory@drawn", "report@drawn"]


def test_two_runs_of_a_corpus_at_once_the_second_tries_again_and_names_the_first(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    class Never:
        wait = staticmethod(waited.append)

    monkeypatch.setattr("flows.worktree.stop_event", Never)
    with (
        worktree(toy, "drawn", load_settings(toy)),
        pytest.raises(MachineError, match=f"pid {os.getpid()}"),
        worktree(toy, "drawn", load_settings(toy)),
    ):
        pass
    assert waited == RETRY_DELAYS_S


def test_a_run_that_met_anothers_lock_goes_on_once_it_is_free(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = contextlib.ExitStack()
    first.enter_context(lock(toy / "work/locks/retrain-drawn"))

    class UntilFree:
        wait = staticmethod(lambda _: first.close())

    monkeypatch.setattr("flows.worktree.stop_event", UntilFree)
    with worktree(toy, "drawn", load_settings(toy)) as tree:
        assert tree.folder.is_dir()


def test_settings_of_the_machine_and_remotes_reach_the_worktree(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (toy / "settings.yaml").write_text("roots: {drawn: elsewhere}\nworkers: 3\nwork: cache\n")
    (toy / ".dvc/config.local").write_text("['remote \"far\"']\n    url = /far\n")
    with worktree(toy, "drawn", load_settings(toy)) as tree:
        assert tree.folder == toy / "cache/worktrees/drawn"
        code = (
            "import foalnet; from foalnet.config import load_settings as s; x = s();"
            "print(foalnet.__file__, x.roots['drawn'], x.workers, x.work, x.home)"
        )
        done = subprocess.run(
            ["python", "-c", code],
            cwd=toy.parent,
            env=os.environ | tree.env,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [
            str(tree.folder / "foalnet/__init__.py"),
            str(toy / "elsewhere"),
            "3",
            str(toy / "cache"),
            str(tree.folder),
        ]
        assert "far" in run(tree.folder, "dvc", "remote", "list").stdout
        assert str(toy / ".dvc/cache") in run(tree.folder, "dvc", "cache", "dir").stdout


@pytest.mark.long
def test_without_git_it_works_in_the_folder_and_says_so(toy: Path) -> None:
    shutil.rmtree(toy / ".git")
    run(toy, "dvc", "config", "--local", "core.no_scm", "true")
    done = retrain(toy)
    assert "no branch, no gate" in done["says"]
    assert Paths("drawn", toy).report_html.is_file()
    (toy / "dvc.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(UsageError, match=r"conflict marker|DVC cannot read"):
        retrain(toy)


@pytest.mark.long
def test_a_run_that_was_overtaken_is_not_promoted(toy: Path) -> None:
    retrained(toy, "one", 0.80)
    change_params(toy, report={"seed": 3})
    git(toy, "commit", "-qam", "two")
    theirs: list[str] = []

    def overtaken(stages: Sequence[Stage], folder: Path, env: Mapping[str, str] | None) -> list[dict[str, Any]]:
        done = at_once(stages, folder, env)
        tree = git(toy, "rev-parse", "champions/drawn^{tree}")
        theirs.append(git(toy, "commit-tree", tree, "-p", "champions/drawn", "-m", "x\n\nFoalnet-Run: drawn-other"))
        git(toy, "update-ref", "refs/heads/champions/drawn", theirs[0])
        return done

    result = retrain(toy, overtaken)
    assert not result["promoted"]
    assert "was promoted in the meantime" in result["says"]
    assert commit_of(toy, "champions/drawn") == theirs[0]
    assert yaml.safe_load(text_at(toy, result["branch"], "params.yaml") or "")["report"]["seed"] == 3


def test_a_cancel_in_the_middle_removes_the_worktree(toy: Path) -> None:
    from flows.process import Stopped

    stop = threading.Event()
    stop.set()

    def cancelled(stages: Sequence[Stage], folder: Path, env: Mapping[str, str] | None) -> list[dict[str, Any]]:
        reproduce(stages[0].name, folder, on_line=lambda _: None, env=env, stop=stop)
        return []

    with pytest.raises(Stopped):
        retrain(toy, cancelled)
    assert not (toy / "work/worktrees/drawn").exists()
