"""The flow on a real server and worker, with toy verbs: retries, cancelling, and a run that the scheduler made."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from flows.gpu import GPU_SLOT
from foalnet.artifact.gitrepo import text_at
from tests.flows.helpers import PATIENCE_S, Server, alive, calls, until
from tests.support.projects import repro, run

pytestmark = pytest.mark.long

TRAIN = "train@drawn-foal-s1"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def states(server: Server, name: str) -> dict[str, str]:
    """Task runs of a flow run: name -> state."""
    runs = server.ask("task_runs/filter", flow_runs={"id": {"any_": [name]}})
    return {each["name"]: each["state"]["name"] for each in runs}


def test_t82_prefect_retries_what_the_environment_caused_and_nothing_else(server: Server, toy: Path) -> None:
    orders = {"draw": [4], "inventory@drawn": [5], "manifest@drawn": [137], "train@drawn-foal-s1": [3]}
    (toy / "toy.json").write_text(json.dumps(orders))
    code = "from flows.retrain import retrain; retrain()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=toy, env=server.environment(toy), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "foalnet: failing with 3, as ordered" in done.stderr
    made = calls(toy)
    assert {stage: made.count(stage) for stage in orders} == {
        "draw": 2, "inventory@drawn": 2, "manifest@drawn": 2, "train@drawn-foal-s1": 1,
    }  # fmt: skip
    # What does not need the failed stage is brought up to date all the same.
    assert "evaluate@drawn-baseline-s1" in made
    assert "evaluate@drawn-foal-s1" not in made
    assert "report@drawn" not in made
    newest = server.runs()[0]
    assert newest["state"]["type"] == "FAILED"
    assert states(server, newest["id"])["report@drawn"] == "NotReady"
    # What it found before that is kept, named and shown.
    assert "what this run recorded before it failed: " in newest["state"]["message"]
    shown = server.ask("artifacts/latest/filter", artifacts={"key": {"any_": ["failure-drawn"]}})
    assert "| Ses01F\\_impro01\\_F000 | dropped |" in shown[0]["data"]


def test_t13_a_cancel_while_a_stage_trains_ends_every_process_and_nothing_is_run_again(
    server: Server, toy: Path
) -> None:
    (toy / "toy.json").write_text(json.dumps({TRAIN: ["sleep"]}))
    server.deploy(toy)
    with server.worker(toy) as log:
        server.prefect(toy, "deployment", "run", "retrain/drawn")
        until((toy / "pids.txt").exists, 300, f"the sleeping stage\n{log.read_text()[-3000:]}")
        pids = [int(pid) for pid in (toy / "pids.txt").read_text().split()]
        newest = server.runs(state={"type": {"any_": ["RUNNING"]}})[0]["id"]
        server.prefect(toy, "flow-run", "cancel", newest)
        until(lambda: not any(alive(pid) for pid in pids), PATIENCE_S, "the end of the stage's processes")
        until(lambda: server.runs(id={"any_": [newest]})[0]["state"]["type"] == "CANCELLED", PATIENCE_S, "Cancelled")
        until(lambda: not (toy / "work/worktrees/drawn").exists(), PATIENCE_S, "the end of the worktree")
        before = calls(toy)
        assert before.count(TRAIN) == 1
        logged = server.ask("logs/filter", logs={"flow_run_id": {"any_": [newest]}})
        assert not [each["message"] for each in logged if each["level"] >= logging.ERROR]
        [account] = (toy / "work/reports").glob("drawn-*/failure.md")
        assert account.read_text().splitlines()[:3] == ["# drawn: cancelled", "", "    cancelled by SIGTERM"]
        # The next run goes on where this one stopped.
        done = server.prefect(toy, "deployment", "run", "retrain/drawn", "--watch", timeout_s=300)
        assert "Promoted" in done.stdout
    assert calls(toy)[len(before) :][:2] == ["inventory@drawn", TRAIN]


def test_training_waits_for_its_gpu_slot(server: Server, toy: Path) -> None:
    repro(toy, "shards@drawn")
    server.ask("v2/concurrency_limits/", name=GPU_SLOT, limit=1)
    server.ask("v2/concurrency_limits/increment", names=[GPU_SLOT], slots=1, mode="concurrency")
    code = "from flows.training import train_and_evaluate; print(train_and_evaluate())"
    env = server.environment(toy) | {"FOALNET_DEVICE": "cuda", "FOALNET_SLOTS": "2"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=toy, env=env, stdout=subprocess.PIPE, text=True) as flow:
        running = {"state": {"type": {"any_": ["RUNNING"]}}}
        until(lambda: len(server.ask("task_runs/filter", task_runs=running)) > 1, 240, "two runs that want the GPU")
        time.sleep(3)
        assert not any(each.startswith("train") for each in calls(toy))
        server.ask("v2/concurrency_limits/decrement", names=[GPU_SLOT], slots=1, mode="concurrency")
        said, _ = flow.communicate(timeout=300)
        assert flow.returncode == 0
    made = calls(toy)
    assert sum(each.startswith("train") for each in made) == sum(each.startswith("evaluate") for each in made) == 4
    assert said.count("train@drawn") == 4
    assert "report@drawn" not in made


def test_t89_the_scheduler_makes_a_run_and_it_ends_with_the_lock_of_dvc_repro(
    server: Server, toy: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(toy, tmp_path / "laptop", symlinks=True)
    repro(other)
    path = toy / "prefect.yaml"
    config = yaml.safe_load(path.read_text())
    config["deployments"][0]["name"] = "scheduled"
    config["deployments"][0]["schedules"] = [{"cron": "* * * * *", "timezone": "UTC", "active": True}]
    path.write_text(yaml.safe_dump(config))
    run(toy, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "a schedule")
    server.deploy(toy)
    mine = {"name": {"any_": ["scheduled"]}}

    def finished() -> bool:
        runs = server.ask("flow_runs/filter", deployments=mine, flow_runs={"state": {"type": {"any_": sorted(FINAL)}}})
        return bool(runs)

    with server.worker(toy) as log:
        until(finished, 240, "a scheduled run that ended")
        server.prefect(toy, "deployment", "schedule", "clear", "retrain/scheduled", "--accept-yes")
        runs = server.ask("flow_runs/filter", deployments=mine, sort="EXPECTED_START_TIME_ASC")
        first = next(r for r in runs if r["state"]["type"] in FINAL)
        assert first["auto_scheduled"]
        assert first["state"]["type"] == "COMPLETED", log.read_text()[-5000:]
    assert text_at(toy, "champions/drawn", "dvc.lock") == (other / "dvc.lock").read_text()
    assert not (toy / "dvc.lock").exists(), "the operator's checkout is not touched"


def test_two_slots_leave_the_same_entries_in_the_lock_and_the_ui_gets_the_artifacts(
    server: Server, toy: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(toy, tmp_path / "laptop", symlinks=True)
    repro(other)
    command = [sys.executable, "-c", "from flows.retrain import retrain; retrain()"]
    subprocess.run(command, cwd=toy, env=server.environment(toy) | {"FOALNET_SLOTS": "2"}, check=True)
    assert yaml.safe_load(text_at(toy, "champions/drawn", "dvc.lock") or "") == yaml.safe_load(
        (other / "dvc.lock").read_text()
    )
    latest = [each for each in server.ask("artifacts/latest/filter", sort="KEY_ASC") if each["key"]]
    kept = {each["key"]: each["data"] for each in latest}
    [newest] = server.runs(name={"like_": "drawn, params "}, state={"name": {"any_": ["Promoted"]}})[:1]
    assert newest["state"]["message"].startswith("drawn: promoted: no champion yet")
    digest = newest["name"].removeprefix("drawn, params ")
    [said] = [each["description"] for each in latest if each["key"] == "gate-drawn"]
    assert said.startswith(f"gate of corpus drawn: promoted, params {digest}, run drawn-2")
    assert "| foal | 50.0 |" in kept["metrics-drawn"]
    assert "## shards" in kept["drops-drawn"]
    assert str(toy / "work/reports/drawn-") in kept["report-drawn"]
    assert "# drawn: promoted" in kept["gate-drawn"]
