"""Batches of dialogues as tasks: a flow warms the work cache, the shards are the very bytes of `foalnet shards`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows import staging
from flows.process import Stopped
from flows.stages import StageFailed
from flows.staging import batches, dialogues, stage_batch
from flows.tasks import STOP
from foalnet.config import Settings
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.files import sha256_file
from foalnet.core.locks import lock
from foalnet.stages.shards.warm import unstaged, warm
from tests.flows.helpers import Server
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import CLIPS, clips_tree
from tests.support.marks import red_when
from tests.support.projects import TINY, change_params, copy_project, environment, program, repro


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("place")
    made = Place(home=home, root=clips_tree(home / "root"))
    made.list_files()
    return made


def inputs(place: Place) -> dict[str, Path]:
    return {"inventory": place.home / "inventory.json", "manifest": place.home / "manifest.jsonl"}


@pytest.fixture
def settings(place: Place, tmp_path: Path) -> Settings:
    """A work cache of the test's own."""
    return place.settings.model_copy(update={"work": tmp_path / "work", "roots": {place.corpus: str(place.root)}})


def warmed(place: Place, settings: Settings, names: Sequence[str]) -> list[tuple[str, str]]:
    """Stage dialogues; return what was said of each."""
    said: list[tuple[str, str]] = []
    warm(place.params, settings, names, **inputs(place), say=lambda name, what: said.append((name, what)))
    return said


@pytest.mark.long
def test_a_warmed_dialogue_is_what_staging_would_have_made_and_is_made_once(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    todo = unstaged(place.params, settings, **inputs(place))
    assert sorted(todo) == sorted(CLIPS)
    assert list(todo.values()) == sorted(todo.values(), reverse=True)
    first, *_ = todo
    assert warmed(place, settings, [first]) == [(first, "staged")]
    said = warmed(place, settings, list(todo))
    assert said[0] == (first, "was staged already")
    assert said[1:] == [(name, "staged") for name in todo if name != first]
    assert unstaged(place.params, settings, **inputs(place)) == {}
    place.stage(listed=True)
    assert digests(settings.work / "clips") == digests(place.settings.work / "clips")


def test_an_unknown_dialogue_names_the_nearest_and_one_in_work_names_its_process(
    place: Place, settings: Settings
) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{CLIPS[0]}'"):
        warmed(place, settings, [CLIPS[1], CLIPS[0][:-1]])
    (job,) = [j for j in _jobs(place, settings) if j.dialogue == CLIPS[0]]
    with (
        lock(settings.work / "locks" / f"clips-{job.key}"),
        pytest.raises(MachineError, match=f"pid {os.getpid()}"),
    ):
        warmed(place, settings, [CLIPS[0]])
    assert not list((settings.work / "clips").glob("*/*"))


def test_every_dialogue_of_a_batch_is_tried_and_each_failure_said(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    root = shutil.copytree(place.root, tmp_path / "root")
    for name in CLIPS[:2]:
        (root / f"Session1/dialog/avi/DivX/{name}.avi").write_bytes(b"no video")
    said: list[tuple[str, str]] = []
    broken = settings.model_copy(update={"roots": {place.corpus: str(root)}})
    with pytest.raises(DataError, match=f"1 more failed: dialogue {CLIPS[1]}"):
        warm(place.params, broken, CLIPS, **inputs(place), say=lambda name, what: said.append((name, what)))
    assert said[0] == (CLIPS[2], "staged")
    assert [(name, what.split(":")[0]) for name, what in said[1:]] == [(CLIPS[1], "failed")]


def _jobs(place: Place, settings: Settings) -> list:
    from foalnet.stages.shards.warm import jobs_of

    return jobs_of(place.params, settings, **inputs(place))


def fake(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(staging, "warm_command", lambda *arguments: [sys.executable, "-c", code, *arguments])


def test_short_dialogues_share_a_batch_and_long_ones_have_their_own() -> None:
    short = batches({f"d{number:02}": 25.0 for number in range(30)}, workers=2)
    assert [len(names) for names in short] == [8, 8, 8, 6]
    assert short[0][0] == "d00"
    assert [name for names in short for name in names] == [f"d{number:02}" for number in range(30)]
    assert [len(names) for names in batches({f"d{n}": 400.0 - n for n in range(60)}, workers=2)] == [1] * 60
    assert len(batches({f"d{number}": 25.0 for number in range(30)}, workers=16)) == 30
    assert batches({"a": 30.0, "b": 2.0, "c": 1.0}, workers=1) == [["a"], ["b", "c"]]


def test_t82_a_dialogues_own_exit_code_decides_about_the_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "import sys; print('no disk'); sys.exit(4)")
    with pytest.raises(StageFailed) as failure:
        stage_batch.fn("tiny", "Ses01F_impro01 and 1 more", ["Ses01F_impro01", "Ses01M_impro02"], str(tmp_path))
    assert failure.value.code == 4
    assert "no disk" in str(failure.value)
    assert "Ses01F_impro01" in str(failure.value)
    with pytest.raises(StageFailed) as failure:
        dialogues(tmp_path, "tiny")
    assert failure.value.code == 4


def test_a_cancel_reaches_the_dialogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    fake(monkeypatch, "open('ran', 'w')")
    stop = threading.Event()
    stop.set()
    token = STOP.set(stop)
    try:
        with pytest.raises(Stopped):
            stage_batch.fn("tiny", "d", ["d"], str(tmp_path))
    finally:
        STOP.reset(token)
    assert not (tmp_path / "ran").exists()


def test_a_task_can_be_sent_to_another_process() -> None:
    from cloudpickle import dumps, loads

    from flows.staging import stage_batch

    assert loads(dumps(stage_batch)).name == stage_batch.name


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with everything before `shards` done."""
    project = copy_project(tmp_path_factory.mktemp("tiny") / "project")
    change_params(project, **TINY)
    repro(project, "manifest@drawn")
    return project


@red_when("stages/base.py", "a verb takes no lock")
@pytest.mark.long
def test_t7_two_shards_runs_at_once_one_works_and_the_other_names_it(tiny: Path, tmp_path: Path) -> None:
    alone, both = (shutil.copytree(tiny, tmp_path / name, symlinks=True) for name in ("alone", "both"))
    program(alone, "shards", "drawn")
    command = [sys.executable, "-m", "foalnet", "shards", "drawn"]
    with (
        subprocess.Popen(command, cwd=both, env=environment(both), stderr=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, cwd=both, env=environment(both), stderr=subprocess.PIPE, text=True) as two,
    ):
        said = {p.pid: (p.communicate()[1], p.returncode) for p in (one, two)}
    winner = next(pid for pid, (_, code) in said.items() if code == 0)
    (loser,) = (pid for pid in said if pid != winner)
    text, code = said[loser]
    assert code == 4
    assert f"another run is at work here (pid {winner}" in text
    assert digests(both / "data/drawn/shards") == digests(alone / "data/drawn/shards")
    assert digests(both / "reports") == digests(alone / "reports")
    program(both, "shards", "drawn")
    assert digests(both / "data/drawn/shards") == digests(alone / "data/drawn/shards")


# Says what the flow gives back, and how many processes it started of each kind.
GO = """
import subprocess
started, start = [], subprocess.Popen.__init__
def noted(self, args, *more, **options):
    started.append([word for word in args if word in ("warm", "flows.uptodate", "dvc")][:1])
    start(self, args, *more, **options)
if __name__ == "__main__":
    from flows.staging import stage_corpus
    subprocess.Popen.__init__ = noted
    print("ANSWER", stage_corpus("drawn"))
    print("STARTED", *(started.count([kind]) for kind in ("warm", "flows.uptodate", "dvc")))
"""


def flow(server: Server, project: Path, **more: str) -> subprocess.CompletedProcess[str]:
    (project / "go.py").write_text(GO)
    env = server.environment(project) | more
    return subprocess.run([sys.executable, "go.py"], cwd=project, env=env, capture_output=True, text=True, timeout=900)


@pytest.mark.long
def test_stage_corpus_leaves_the_bytes_and_the_lock_of_dvc_repro(server: Server, tiny: Path, tmp_path: Path) -> None:
    laptop, machine = (shutil.copytree(tiny, tmp_path / name, symlinks=True) for name in ("laptop", "machine"))
    repro(laptop, "shards@drawn")
    done = flow(server, machine, FOALNET_WORKERS="2")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "ANSWER {'corpus': 'drawn', 'staged': 5, 'packed': True}" in done.stdout
    assert "STARTED 4 2 2" in done.stdout, "a list and three batches, two questions, the inventory and the packing"
    assert digests(machine / "data/drawn/shards") == digests(laptop / "data/drawn/shards")
    assert (machine / "dvc.lock").read_bytes() == (laptop / "dvc.lock").read_bytes()
    shutil.rmtree(machine / "work/clips")
    again = flow(server, machine)
    assert "'staged': 0, 'packed': False" in again.stdout, "shards that are up to date need no work cache"
    assert "STARTED 0 2 1" in again.stdout
    shown = {a["key"]: a["data"] for a in server.ask("artifacts/latest/filter", sort="KEY_ASC") if a["key"]}
    assert shown["staging-drawn"] == 100.0
    (said,) = [a["description"] for a in server.ask("artifacts/filter") if a["key"] == "staging-drawn"]
    assert said == "staging drawn: 5 of 5 dialogues"


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("prefect_dask") is None, reason="the extra `dask` is not installed")
def test_two_dask_workers_on_loopback_make_the_same_bytes(server: Server, tiny: Path, tmp_path: Path) -> None:
    alone, spread = (shutil.copytree(tiny, tmp_path / name, symlinks=True) for name in ("alone", "spread"))
    program(alone, "shards", "drawn")
    done = flow(server, spread, FOALNET_WORKERS="2", FOALNET_TASK_RUNNER="dask")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "'staged': 5, 'packed': True" in done.stdout
    assert digests(spread / "data/drawn/shards") == digests(alone / "data/drawn/shards")
    assert digests(spread / "work/clips") == digests(alone / "work/clips")


@red_when("clips/dialogue.py", "a sample tells which process staged it")
@pytest.mark.long
def test_t8_two_flows_and_a_dvc_repro_at_once_leave_the_result_of_one(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    alone, crowd = (shutil.copytree(tiny, tmp_path / name, symlinks=True) for name in ("alone", "crowd"))
    repro(alone, "shards@drawn")
    code = "from flows.staging import stage_corpus\nif __name__ == '__main__': stage_corpus('drawn')"
    (crowd / "go.py").write_text(code)
    env = server.environment(crowd)
    laptop = [sys.executable, "-m", "dvc", "repro", "shards@drawn"]
    commands = [[sys.executable, "go.py"], [sys.executable, "go.py"], laptop]
    running = [
        subprocess.Popen(each, cwd=crowd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for each in commands
    ]
    said = [process.communicate(timeout=900)[0] for process in running]
    assert 0 in [process.returncode for process in running], said
    for process, text in zip(running, said, strict=True):
        blocked = "another run is at work here (pid" in text or "is busy" in text or "Unable to acquire lock" in text
        assert process.returncode == 0 or blocked, text[-4000:]
    # Whoever was turned away runs again and finds everything done.
    repro(crowd, "shards@drawn")
    assert digests(crowd / "data/drawn/shards") == digests(alone / "data/drawn/shards")
    assert (crowd / "dvc.lock").read_bytes() == (alone / "dvc.lock").read_bytes()
