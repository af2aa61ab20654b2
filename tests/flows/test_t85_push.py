"""T85: a remote that is down when a run is pushed: the data is kept, the run is marked, the next run pushes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import artifacts, push
from flows.retrain import RunStages, bring_up_to_date
from flows.stages import Stage
from flows.worktree import Tree
from foalnet.artifact.gitrepo import git, text_at
from foalnet.checks.doctor import Context
from foalnet.checks.doctor.project import pushed as check_pushed
from foalnet.core.errors import DataError, MachineError
from foalnet.core.paths import Paths
from foalnet.evidence.champion import unpushed
from tests.flows.test_worktree import at_once, metrics
from tests.support.marks import red_when
from tests.support.projects import change_params, run, verb
from tests.support.remotes import IDENTITY, flip, object_in, use_remote


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


def retrain(project: Path, run: RunStages = at_once) -> tuple[dict[str, object], list[str]]:
    """Run the flow without Prefect's engine; return its answer and what it would show."""
    shown: list[str] = []

    def publish(paths: Paths, _page: Path, facts: Mapping[str, Any], pushed: push.Pushed) -> None:
        shown.extend((facts["says"], paths.metrics.read_text(), str(pushed.unpushed)))

    return bring_up_to_date(project, "drawn", run=run, publish=publish), shown


# A class of another class list -> the raw label that it takes in.
ALSO = {"happy": "fru", "sad": "dis"}


def changed(project: Path, name: str, ua: float) -> tuple[dict[str, object], list[str]]:
    """Retrain with another class list and other results."""
    results = {"data/drawn/manifest.jsonl": {"of": name}, "reports/drawn/metrics.json": metrics(ua)}
    (project / "toy_results.json").write_text(json.dumps(results))
    change_params(project, corpora={"drawn": {"manifest": {"classes": {name: [name[:3], ALSO[name]]}}}})
    git(project, *IDENTITY, "commit", "-qam", name)
    return retrain(project)


def objects(folder: Path) -> set[str]:
    """Every object below a remote or a cache, by its digest."""
    return {path.parent.name + path.name for path in folder.rglob("files/md5/*/*")}


def needed(project: Path, lock: str) -> set[str]:
    """Every object that a dvc.lock names: of its outputs that DVC keeps, and of the files in their folders."""
    outs = [out for stage in yaml.safe_load(lock)["stages"].values() for out in stage["outs"]]
    digests = {
        out["md5"] for out in outs if out["path"] not in ("reports/drawn/headline.json", "reports/drawn/metrics.json")
    }
    for md5 in [each for each in digests if each.endswith(".dir")]:
        rows = json.loads((project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes())
        digests |= {row["md5"] for row in rows}
    return digests


def locks(project: Path) -> list[str]:
    """The dvc.lock of every run that is on a branch."""
    names = git(project, "for-each-ref", "--format=%(refname)", "refs/heads/runs/").stdout.split()
    return [str(text_at(project, name, "dvc.lock")) for name in names]


@red_when("../flows/push.py", "the run's own outputs are not sent")
@pytest.mark.long
def test_t85_what_a_run_made_is_pushed(toy: Path, remote: Path) -> None:
    done, _ = retrain(toy)
    assert str(done["says"]).endswith("; pushed to store")
    [lock] = locks(toy)
    assert objects(remote) == needed(toy, lock)
    assert unpushed(toy) == {}


@red_when("evidence/champion.py", "no ref is written as the mark")
@pytest.mark.long
def test_t85_a_remote_that_vanished_leaves_data_and_a_mark_and_the_next_run_pushes(
    toy: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = remote.parent.with_name("unmounted")
    remote.parent.rename(away)
    done, shown = retrain(toy)
    assert done["promoted"], "a remote that is down holds up no gate"
    assert "unpushed: remote store: its folder is missing" in str(done["says"])
    assert (shown[0], shown[2]) == (done["says"], done["unpushed"]), "where the UI shows it"
    assert str(done["unpushed"]).startswith("remote store: its folder is missing")
    assert not remote.exists(), "nothing is written to the disk below the one that is not mounted"
    first = str(done["branch"]).removeprefix("runs/")
    assert list(unpushed(toy)) == [f"drawn/{first}"]
    lines = verb(toy, "champion").stdout.splitlines()
    assert lines[1].endswith("  unpushed") and lines[-1] == f"unpushed: {first}; the next run tries again"
    monkeypatch.chdir(toy)
    [finding] = check_pushed(Context())
    assert finding.level == "warning" and first in finding.message

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
    assert [finding.level for finding in check_pushed(Context())] == ["ok"]


@red_when("../flows/push.py", "DVC's exit code is not looked at")
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


@red_when("../flows/push.py", "the mark is not set before the push")
@pytest.mark.long
def test_t85_a_push_that_is_killed_leaves_the_mark(toy: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(push.push_runs, "__kwdefaults__", {"send": killed})
    with pytest.raises(KeyboardInterrupt):
        retrain(toy)
    assert len(unpushed(toy)) == 1
    monkeypatch.undo()


@red_when("../flows/push.py", "a run is called unpushed where another one waits")
def test_t85_what_is_said_of_a_run_is_of_this_run_and_each_other_run_is_tried(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without DVC: what is sent is noted, one of the runs that wait fails, this run or the next in line does not."""
    sent: list[str] = []

    def send(folder: Path, *_: object) -> None:
        sent.append(folder.name)
        if folder.name in failing:
            raise failing[folder.name]

    @contextlib.contextmanager
    def other_checkout(_tree: Tree, commit: str) -> Iterator[Path]:
        yield Path(names[commit])

    heads = [git(toy, *IDENTITY, "commit-tree", "HEAD^{tree}", "-m", name).stdout.strip() for name in "abc"]
    names = dict(zip(heads, "abc", strict=True))
    failing: dict[str, Exception] = {"a": ValueError("no project"), "b": MachineError("down")}
    monkeypatch.setattr(push, "_send_whole", send)
    monkeypatch.setattr(push, "other_checkout", other_checkout)
    monkeypatch.setattr(push, "default_remote", lambda _: ("store", "/mnt/store"))
    tree = Tree(home=toy, folder=Path("this"), head="", champion=None, env={})
    git(toy, "branch", "runs/this")
    for commit, name in names.items():
        git(toy, "update-ref", f"refs/foalnet/unpushed/drawn/{name}", commit)
    done = push.push_runs(tree, "drawn", "runs/this")
    assert sent == ["this", "a", "b", "c"]
    assert done.unpushed is None and list(done.waiting) == ["drawn/a", "drawn/b"] == list(unpushed(toy))
    assert done.says.startswith(
        "pushed to store; earlier runs wait unpushed: drawn/a (ValueError: no project); drawn/b ("
    )

    failing = {"this": MachineError("down")}
    sent.clear()
    done = push.push_runs(tree, "drawn", "runs/this")
    assert sent == ["this"], "a remote that is down is asked once"
    assert {"drawn/a", "drawn/b", "drawn/this"} == done.waiting.keys() | {"drawn/this"} == set(unpushed(toy))
    assert set(done.waiting.values()) == {done.unpushed} and "down" in str(done.unpushed)
    git(toy, "update-ref", "-d", "refs/foalnet/unpushed/drawn/this")

    failing = {"this": DataError("spoiled", action="remove it")}
    sent.clear()
    done = push.push_runs(tree, "drawn", "runs/this")
    assert sent == ["this", "a", "b"], "what this run lacks holds up no other"
    assert (done.unpushed, done.waiting) == ("spoiled; next: remove it", {})
    assert list(unpushed(toy)) == ["drawn/this"]


def spoiled(out: str, spoil: Callable[[Path], None]) -> RunStages:
    """Run the stages, then spoil the object of one output in the cache, as a disk or a `dvc gc` elsewhere would."""

    def run_and_spoil(stages: Sequence[Stage], folder: Path, env: Mapping[str, str] | None) -> list[dict[str, Any]]:
        done = at_once(stages, folder, env)
        spoil(object_in(folder.parents[2] / ".dvc" / "cache", md5_in((folder / "dvc.lock").read_text(), out)))
        return done

    return run_and_spoil


def md5_in(lock: str, out: str) -> str:
    outs = [each for stage in yaml.safe_load(lock)["stages"].values() for each in stage["outs"]]
    return next(str(each["md5"]) for each in outs if each["path"] == out)


@red_when("../flows/push.py", "what is found wrong is sent all the same")
@pytest.mark.long
def test_t85_an_altered_object_is_not_pushed_and_the_next_run_mends_it(toy: Path, remote: Path) -> None:
    out, stage = "data/drawn/manifest.jsonl", "manifest@drawn"
    done, _ = retrain(toy, spoiled(out, flip))
    assert objects(remote) == set(), "nothing of the run, while something of it is altered"
    md5 = md5_in(locks(toy)[0], out)
    thing = object_in(Path(".dvc/cache"), md5)
    assert f"; unpushed: nothing is pushed: {out} (stage {stage}): " in str(done["says"])
    assert str(done["unpushed"]).endswith(
        f"; next: remove {thing}, then run the flow again: it makes the outputs of {stage} again"
    )
    assert list(unpushed(toy)) == [f"drawn/{done['run']}"]

    (toy / thing).unlink()
    again, _ = retrain(toy)
    assert again["unpushed"] is None and unpushed(toy) == {}
    assert objects(remote) == needed(toy, locks(toy)[0])
    for each in remote.rglob("files/md5/*/*"):
        name = each.parent.name + each.name
        assert hashlib.md5(each.read_bytes()).hexdigest() == name.removesuffix(".dir")


@red_when("../flows/push.py", "what is found wrong is sent all the same")
@pytest.mark.long
def test_t85_an_object_that_exists_nowhere_does_not_count_as_pushed(toy: Path, remote: Path) -> None:
    out = "data/drawn/manifest.jsonl"
    done, _ = retrain(toy, spoiled(out, Path.unlink))
    assert f"{out} (stage manifest@drawn): its object is neither in DVC's cache nor in the remote" in str(done["says"])
    assert "pushed to" not in str(done["says"])
    assert objects(remote) == set() and len(unpushed(toy)) == 1
    # Once it is there again and pushed, the cache may lose it: the remote has it whole.
    assert str(retrain(toy)[0]["says"]).endswith("; pushed to store")
    git(toy, "update-ref", "refs/foalnet/unpushed/drawn/again", f"refs/heads/{done['branch']}")
    lost, _ = retrain(toy, spoiled(out, Path.unlink))
    assert (lost["unpushed"], lost["waiting"], unpushed(toy)) == (None, {}, {})


@red_when("../flows/push.py", "a run is called unpushed where another one waits")
@pytest.mark.long
def test_t85_a_run_that_was_pushed_is_not_called_unpushed_for_another_and_none_holds_up_the_next(
    toy: Path, remote: Path
) -> None:
    away = remote.parent.with_name("unmounted")
    remote.parent.rename(away)
    first, _ = retrain(toy)
    away.rename(remote.parent)
    # A mark that can never be pushed, and that is tried before the others.
    empty = git(toy, "hash-object", "-t", "tree", "-w", "--stdin").stdout.strip()
    rotten = git(toy, *IDENTITY, "commit-tree", empty, "-m", "no project").stdout.strip()
    git(toy, "update-ref", "refs/foalnet/unpushed/drawn/a-rotten-one", rotten)
    done, _ = changed(toy, "happy", 0.6)
    assert done["unpushed"] is None and "; pushed to store; earlier runs wait unpushed: drawn/a-rotten-one (" in str(
        done["says"]
    )
    assert isinstance(done["waiting"], dict) and list(done["waiting"]) == ["drawn/a-rotten-one"]
    assert list(unpushed(toy)) == ["drawn/a-rotten-one"], f"neither this run nor {first['run']}"
    assert objects(remote) == set().union(*(needed(toy, lock) for lock in locks(toy)))

    # An earlier run whose data is lost says how to bring it back, or to give it up.
    lock = str(text_at(toy, f"refs/heads/{first['branch']}", "dvc.lock"))
    md5 = md5_in(lock, "data/drawn/manifest.jsonl")
    for store in (toy / ".dvc" / "cache", remote):
        object_in(store, md5).unlink()
    git(toy, "update-ref", "-d", "refs/foalnet/unpushed/drawn/a-rotten-one")
    git(toy, "update-ref", f"refs/foalnet/unpushed/drawn/{first['run']}", f"refs/heads/{first['branch']}")
    done, _ = retrain(toy)
    assert done["unpushed"] is None and str(done["says"]).count("unpushed") == 2, "once as a word, once in a ref"
    why = done["waiting"][f"drawn/{first['run']}"]  # type: ignore[index]
    assert "data/drawn/manifest.jsonl (stage manifest@drawn): its object is neither" in why
    assert why.endswith(f"or give it up: git update-ref -d refs/foalnet/unpushed/drawn/{first['run']}")


@red_when("../flows/retrain.py", "without git nothing is pushed")
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


@red_when("../flows/worktree.py", "a remote's relative path is left as it is")
@pytest.mark.long
def test_t85_a_remote_beside_the_project_is_the_same_one_from_the_worktree(toy: Path, remote: Path) -> None:
    (toy / ".dvc" / "config.local").unlink()
    run(toy, "dvc", "remote", "add", "--local", "--default", "store", "../disk/remote")
    done, _ = retrain(toy)
    assert str(done["says"]).endswith("; pushed to store")
    assert objects(remote) == needed(toy, locks(toy)[0])


@red_when("../flows/artifacts.py", "the runs that wait are left out of the artifact")
def test_t85_the_gates_artifact_marks_the_run(toy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Place:
        corpus, gate = "drawn", tmp_path / "gate.json"

    Place.gate.write_text("{}")
    monkeypatch.setattr(artifacts, "markdown", lambda _: "# promoted")
    paths: Any = Place()
    text = artifacts.gate(paths, "promoted: x", push.Pushed(remote="a_b", unpushed="remote a_b: down"))
    assert text.endswith("**unpushed:** remote a\\_b: down\n")
    assert artifacts.gate(paths, "promoted: x; pushed to store", push.Pushed(remote="store")) == "# promoted"
    text = artifacts.gate(paths, "", push.Pushed(remote="store", waiting={"drawn/a": "gone", "drawn/b": "gone"}))
    assert text == "# promoted\n\n**earlier runs wait unpushed:** drawn/a, drawn/b (gone)\n"


@pytest.mark.long
@red_when("../flows/push.py", "DVC's lines that begin with ERROR are not looked for")
def test_t85_a_push_that_fails_says_what_dvc_said(toy: Path, remote: Path) -> None:
    (remote / "files").write_text("not a folder")
    run(toy, "dvc", "repro", "draw")
    with pytest.raises(MachineError, match="ERROR: ") as caught:
        push.push(toy, ["draw"], {})
    assert caught.value.exit_code == 4
