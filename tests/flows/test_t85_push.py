"""T85: a remote that is down when a run is pushed: the data is kept, the run is marked, the next run pushes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import artifacts, push
from flows.retrain import bring_up_to_date
from foalnet.champion import unpushed
from foalnet.doctor import Scene
from foalnet.doctor.project import pushed as check_pushed
from foalnet.errors import MachineError
from foalnet.gitrepo import git, text_at
from foalnet.paths import Paths
from tests.flows.test_worktree import at_once, metrics
from tests.projects import change_params, run, verb
from tests.remotes import IDENTITY, use_remote


@pytest.fixture
def remote(toy: Path, tmp_path: Path) -> Path:
    """A remote in a folder; the project trains one variant only, for speed."""
    change_params(toy, corpora={"drawn": {"variants": ["foal"]}})
    verb(toy, "config", "--sync")
    git(toy, *IDENTITY, "commit", "-qam", "one run")
    folder = tmp_path / "disk" / "remote"
    folder.mkdir(parents=True)
    use_remote(toy, folder)
    return folder


def retrain(project: Path) -> tuple[dict[str, object], list[str]]:
    """Run the flow without Prefect's engine; return its answer and what it would show."""
    shown: list[str] = []

    def publish(paths: Paths, _page: Path, says: str, unpushed: str | None) -> None:
        shown.extend((says, paths.metrics.read_text(), str(unpushed)))

    return bring_up_to_date(project, "drawn", run=at_once, publish=publish), shown


def changed(project: Path, name: str, ua: float) -> tuple[dict[str, object], list[str]]:
    """Retrain with another class list and other results."""
    results = {"data/drawn/manifest.jsonl": {"of": name}, "reports/drawn/metrics.json": metrics(ua)}
    (project / "toy_results.json").write_text(json.dumps(results))
    change_params(project, corpora={"drawn": {"manifest": {"classes": {name: [name[:3], "fru"]}}}})
    git(project, *IDENTITY, "commit", "-qam", name)
    return retrain(project)


def objects(folder: Path) -> set[str]:
    """Every object below a remote or a cache, by its digest."""
    return {path.parent.name + path.name for path in folder.rglob("files/md5/*/*")}


def needed(project: Path, lock: str) -> set[str]:
    """Every object that a dvc.lock names: of its outputs that DVC keeps, and of the files in their folders."""
    outs = [out for stage in yaml.safe_load(lock)["stages"].values() for out in stage["outs"]]
    found = {out["md5"] for out in outs if out["path"] != "reports/drawn/metrics.json"}
    for md5 in [each for each in found if each.endswith(".dir")]:
        rows = json.loads((project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes())
        found |= {row["md5"] for row in rows}
    return found


def locks(project: Path) -> list[str]:
    """The dvc.lock of every run that is on a branch."""
    names = git(project, "for-each-ref", "--format=%(refname)", "refs/heads/runs/").stdout.split()
    return [str(text_at(project, name, "dvc.lock")) for name in names]


def test_t85_what_a_run_made_is_pushed(toy: Path, remote: Path) -> None:
    done, _ = retrain(toy)
    assert str(done["says"]).endswith("; pushed to store")
    [lock] = locks(toy)
    assert objects(remote) == needed(toy, lock)
    assert unpushed(toy) == {}


@pytest.mark.long
def test_t85_a_remote_that_vanished_leaves_data_and_a_mark_and_the_next_run_pushes(
    toy: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = remote.parent.with_name("unmounted")
    remote.parent.rename(away)
    done, shown = retrain(toy)
    assert done["promoted"], "a remote that is down holds up no gate"
    assert "unpushed: remote store: its folder is not there" in str(done["says"])
    assert (shown[0], shown[2]) == (done["says"], done["unpushed"]), "where the UI shows it"
    assert str(done["unpushed"]).startswith("remote store: its folder is not there")
    assert not remote.exists(), "nothing is written to the disk below the one that is not mounted"
    first = str(done["branch"]).removeprefix("runs/")
    assert list(unpushed(toy)) == [f"drawn/{first}"]
    told = verb(toy, "champion").stdout.splitlines()
    assert told[0].endswith("  unpushed") and told[-1] == f"unpushed: {first}; the next run pushes them"
    monkeypatch.chdir(toy)
    [finding] = check_pushed(Scene())
    assert finding.level == "warning" and first in finding.found

    # Another run with other results, still down: both are marked, and the first one's data is still there.
    assert "unpushed" in str(changed(toy, "happy", 0.6)[0]["says"])
    assert len(unpushed(toy)) == 2

    away.rename(remote.parent)
    again, shown = changed(toy, "sad", 0.7)
    assert str(again["says"]).endswith("; pushed to store") and again["unpushed"] is None
    assert '"ua": 0.7,' in shown[1], "what is shown is this run's, whatever was pushed beside it"
    assert unpushed(toy) == {}
    assert len({*locks(toy)}) == 3
    assert objects(remote) == set().union(*(needed(toy, lock) for lock in locks(toy))), "the data of all three"
    assert "unpushed" not in verb(toy, "champion").stdout
    assert [finding.level for finding in check_pushed(Scene())] == ["ok"]


@pytest.mark.long
def test_t85_a_remote_that_refuses_to_be_written_is_a_remote_that_is_down(toy: Path, remote: Path) -> None:
    """Something else lies where the remote keeps its objects: no user can write there, not even the superuser."""
    (remote / "files").write_text("not a folder")
    done, _ = retrain(toy)
    assert "unpushed: remote store: " in str(done["says"])
    assert len(unpushed(toy)) == 1
    (remote / "files").unlink()
    assert str(retrain(toy)[0]["says"]).endswith("; pushed to store")
    assert unpushed(toy) == {}
    assert objects(remote) == needed(toy, locks(toy)[0])


@pytest.mark.long
def test_t85_a_push_that_is_killed_leaves_the_mark(toy: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(push.push_runs, "__kwdefaults__", {"send": killed})
    with pytest.raises(KeyboardInterrupt):
        retrain(toy)
    assert len(unpushed(toy)) == 1
    monkeypatch.undo()


@pytest.mark.long
def test_t85_without_git_the_answer_says_so_and_the_next_run_pushes(toy: Path, remote: Path) -> None:
    shutil.rmtree(toy / ".git")
    run(toy, "dvc", "config", "--local", "core.no_scm", "true")
    away = remote.parent.with_name("unmounted")
    remote.parent.rename(away)
    assert "unpushed: remote store" in str(retrain(toy)[0]["says"])
    away.rename(remote.parent)
    assert str(retrain(toy)[0]["says"]).endswith("; pushed to store")
    assert objects(remote) == needed(toy, (toy / "dvc.lock").read_text())


@pytest.mark.long
def test_t85_a_remote_beside_the_project_is_the_same_one_from_the_worktree(toy: Path, remote: Path) -> None:
    (toy / ".dvc" / "config.local").unlink()
    run(toy, "dvc", "remote", "add", "--local", "--default", "store", "../disk/remote")
    done, _ = retrain(toy)
    assert str(done["says"]).endswith("; pushed to store")
    assert objects(remote) == needed(toy, locks(toy)[0])


def test_t85_the_gates_artifact_marks_the_run(toy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Place:
        corpus, gate = "drawn", tmp_path / "gate.json"

    Place.gate.write_text("{}")
    monkeypatch.setattr(artifacts, "markdown", lambda _: "# promoted")
    paths: Any = Place()
    text = artifacts.gate(paths, "promoted: x", "remote a_b: down")
    assert text.endswith("**unpushed:** remote a\\_b: down\n")
    assert artifacts.gate(paths, "promoted: x; pushed to store") == "# promoted"


def test_t85_a_push_that_fails_says_what_dvc_said(toy: Path, remote: Path) -> None:
    (remote / "files").write_text("not a folder")
    run(toy, "dvc", "repro", "draw")
    with pytest.raises(MachineError, match="ERROR: ") as caught:
        push.push(toy, ["draw"], {})
    assert caught.value.exit_code == 4
