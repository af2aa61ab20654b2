"""The stages of a corpus through the real DVC: their order, the lock they leave, and what a failure is taken for."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from flows import process
from flows.process import Stopped
from flows.stages import LOCKED, RETRIES, StageFailed, command, environment, may_retry, plan, reproduce
from foalnet.config.blocks import Train
from foalnet.config.load import runs_of
from foalnet.core.errors import UsageError
from tests.flows.helpers import PATIENCE_S, alive, calls, stop_once, until
from tests.support.marks import red_when
from tests.support.projects import change_params, repro, run

TRAIN = "train@drawn-baseline-s1"


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 1.0)


def quiet(_line: str) -> None:
    pass


def order(project: Path, **stages: list[object]) -> None:
    (project / "toy.json").write_text(json.dumps({name.replace("__", "@"): todo for name, todo in stages.items()}))


def add_second_corpus(project: Path) -> None:
    entry = yaml.safe_load((project / "params.yaml").read_text())["corpora"]["drawn"]
    (project / "data").mkdir(exist_ok=True)
    (project / "data/other.source.json").write_text("{}\n")
    other = {**entry, "source": "data/other.source.json", "variants": ["foal"], "seeds": [1, 2]}
    runs = runs_of("other", ["foal"], [1, 2], ["loso_dev_session"], train=Train())
    change_params(project, corpora={"other": other}, runs=runs)


@pytest.fixture(scope="module")
def laptop(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project that `dvc repro` brought up to date."""
    project = shutil.copytree(toy_source, tmp_path_factory.mktemp("laptop") / "project", symlinks=True)
    repro(project)
    return project


@pytest.mark.long
def test_the_plan_is_the_order_in_which_dvc_repro_writes_its_lock(laptop: Path, toy: Path) -> None:
    lock = yaml.safe_load((laptop / "dvc.lock").read_text())["stages"]
    assert [stage.name for stage in plan(toy, "drawn")] == list(lock) == calls(laptop)


def test_a_stage_of_the_plan_comes_after_those_that_it_needs(toy: Path) -> None:
    stages = plan(toy, "drawn")
    seen: set[str] = set()
    for stage in stages:
        assert set(stage.needs) <= seen
        seen.add(stage.name)
    assert stages[0].name == "draw"
    assert stages[-1].name == "report@drawn"
    assert "draw" in stages[1].needs


@pytest.mark.long
def test_one_stage_at_a_time_leaves_the_lock_of_dvc_repro(laptop: Path, toy: Path) -> None:
    assert all(reproduce(stage.name, toy, on_line=quiet) for stage in plan(toy, "drawn"))
    assert (toy / "dvc.lock").read_bytes() == (laptop / "dvc.lock").read_bytes()


@pytest.mark.long
def test_in_an_up_to_date_project_only_the_inventory_runs(laptop: Path, toy: Path) -> None:
    project = shutil.copytree(laptop, toy.with_name("copy"), symlinks=True)
    names = ["draw", "inventory@drawn", "manifest@drawn", "evaluate@drawn-foal-s1", "report@drawn"]
    assert [name for name in names if reproduce(name, project, on_line=quiet)] == ["inventory@drawn"]
    assert (project / "dvc.lock").read_bytes() == (laptop / "dvc.lock").read_bytes()


@red_when("../flows/stages.py", "dvc.lock is read once")
def test_t8_a_lock_file_that_another_run_is_writing_is_read_again(toy: Path) -> None:
    whole = (toy / "dvc.lock").read_bytes() if (toy / "dvc.lock").exists() else b"schema: '2.0'\nstages: {}\n"
    names = [stage.name for stage in plan(toy, "drawn")]
    (toy / "dvc.lock").write_bytes(b"schema: '2.0'\nstages:\n  draw:\n    cmd: [")
    later = threading.Timer(1.0, (toy / "dvc.lock").write_bytes, [whole])
    later.start()
    try:
        assert [stage.name for stage in plan(toy, "drawn")] == names
    finally:
        later.join()


def test_a_lock_file_that_stays_broken_is_named(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.stages.READS", 2)
    (toy / "dvc.lock").write_bytes(b"stages: [")
    with pytest.raises(UsageError, match=r"dvc\.lock"):
        plan(toy, "drawn")


def test_the_plan_of_a_corpus_has_no_stage_of_another(toy: Path) -> None:
    add_second_corpus(toy)
    names = [stage.name for stage in plan(toy, "other")]
    assert names == [
        "inventory@other",
        "manifest@other",
        "shards@other",
        "features@other",
        "train@other-foal-s1",
        "train@other-foal-s2",
        "evaluate@other-foal-s1",
        "evaluate@other-foal-s2",
        "final@other",
        "report@other",
    ]
    assert not any("drawn" in name or name == "draw" for name in names)
    assert {n for n in names if n.startswith("evaluate")} <= set(plan(toy, "other")[-1].needs)
    assert all("other" not in stage.name for stage in plan(toy, "drawn"))


@pytest.mark.parametrize("code", [4, 70, *(pytest.param(code, marks=pytest.mark.long) for code in (2, 3, 5))])
def test_the_verbs_own_exit_code_replaces_dvcs_255(toy: Path, code: int) -> None:
    order(toy, draw=[code])
    with pytest.raises(StageFailed) as failure:
        reproduce("draw", toy, on_line=quiet)
    assert failure.value.code == code
    assert f"foalnet: failing with {code}, as ordered" in str(failure.value)
    assert "stage: draw" in str(failure.value)
    assert "next:" in str(failure.value)


@pytest.mark.parametrize("signum", [9, 15])
def test_a_verb_that_was_killed_from_outside_is_known_as_such(toy: Path, signum: int) -> None:
    order(toy, draw=[-signum])
    with pytest.raises(StageFailed) as failure:
        reproduce("draw", toy, on_line=quiet)
    assert failure.value.code == 128 + signum
    assert may_retry(failure.value.code, 1)


def test_a_verb_that_crashed_is_a_bug_and_not_run_again(toy: Path) -> None:
    order(toy, draw=[-11])
    with pytest.raises(StageFailed) as failure:
        reproduce("draw", toy, on_line=quiet)
    assert failure.value.code == 139
    assert not may_retry(139, 1)


def test_an_error_of_dvc_itself_has_no_verbs_code_and_is_not_run_again(toy: Path) -> None:
    with pytest.raises(StageFailed) as failure:
        reproduce("manifest@drawn", toy, on_line=quiet)  # its inventory was never made
    assert failure.value.code is None
    assert "inventory.json" in str(failure.value)
    assert not may_retry(None, 1)


def test_a_lock_that_another_dvc_holds_differs_from_a_failed_verb(toy: Path) -> None:
    order(toy, draw=["sleep"])
    with subprocess.Popen(
        command("draw"), cwd=toy, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as other:
        try:
            until((toy / "pids.txt").exists, PATIENCE_S, "the other DVC's stage")
            with pytest.raises(StageFailed) as failure:
                reproduce("draw", toy, on_line=quiet)
        finally:
            for pid in (toy / "pids.txt").read_text().split():
                os.kill(int(pid), 9)
            other.kill()
    assert failure.value.code == LOCKED
    assert "another DVC runs" in str(failure.value)


def test_a_cancel_leaves_no_process_of_the_stage_and_the_next_run_goes_on(toy: Path) -> None:
    order(toy, draw=["sleep"])
    stop = threading.Event()
    stop_once((toy / "pids.txt").exists, stop)
    with pytest.raises(Stopped):
        reproduce("draw", toy, on_line=quiet, stop=stop)
    pids = [int(pid) for pid in (toy / "pids.txt").read_text().split()]
    assert not any(alive(pid) for pid in pids)
    assert reproduce("draw", toy, on_line=quiet), "a lock of a dead process is no obstacle"


@pytest.mark.long
def test_a_stage_without_end_is_ended_and_counts_as_the_machines_fault(toy: Path) -> None:
    order(toy, draw=["sleep"])
    with pytest.raises(StageFailed, match="no end within 2 s") as failure:
        reproduce("draw", toy, on_line=quiet, timeout_s=2)
    assert failure.value.code == 4


@pytest.mark.parametrize(
    ("code", "retried"),
    [
        (2, 0),
        (3, 0),
        (4, RETRIES),
        (5, RETRIES),
        (137, RETRIES),
        (143, RETRIES),
        (LOCKED, RETRIES),
        (None, 0),
        (70, 0),
        (1, 0),
    ],
)
def test_t82_retry_policy(code: int | None, retried: int) -> None:
    assert [may_retry(code, tries) for tries in range(1, RETRIES + 3)] == [
        tries <= retried for tries in range(1, RETRIES + 3)
    ]


def test_a_failure_crosses_process_borders_whole() -> None:
    failure = StageFailed(TRAIN, 4, "foalnet: the disk is full")
    again = pickle.loads(pickle.dumps(failure))
    assert str(again) == str(failure)
    assert again.code == 4


def test_an_unknown_corpus_names_the_nearest_and_a_folder_without_git_says_what_to_do(toy: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'drawn'"):
        plan(toy, "drwan")
    shutil.rmtree(toy / ".git")
    with pytest.raises(UsageError, match="no_scm"):
        plan(toy, "drawn")
    run(toy, *command("draw")[:3], "config", "--local", "core.no_scm", "true")
    assert plan(toy, "drawn")[0].name == "draw"
