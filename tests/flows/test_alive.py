"""T14: a run whose worker dies is Crashed within the window; a healthy stage of ten windows is not."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flows.alive
from flows import POOL
from flows.alive import ALIVE, SIGNS, alive, automation
from flows.guard import descendants
from tests.flows.helpers import PATIENCE_S, Server, child, until
from tests.support.marks import red_when

TRAIN = "train@drawn-foal-s1"
WINDOW_S = 10.0
# The server looks every 5 s; the rest is for a busy machine.
LOOK_S = 25.0


@pytest.fixture
def window(server: Server, toy: Path) -> Iterator[Server]:
    server.deploy(toy, FOALNET_SILENCE_S=str(WINDOW_S))
    yield server
    server.deploy(toy)


@red_when("../flows/alive.py", "a flow gives one sign of life alone")
@pytest.mark.long
def test_t14_a_dead_worker_is_a_crashed_run_and_a_long_stage_is_none(window: Server, toy: Path) -> None:
    (toy / "toy.json").write_text(json.dumps({TRAIN: ["sleep"]}))
    env = window.environment(toy) | {"FOALNET_SILENCE_S": str(WINDOW_S)}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    log = window.folder / "worker-t14.log"
    with child(log, *command, cwd=toy, env=env) as worker:
        window.prefect(toy, "deployment", "run", "retrain/drawn")
        until((toy / "pids.txt").exists, 300, f"the long stage\n{log.read_text()[-3000:]}")
        (run,) = window.runs(state={"type": {"any_": ["RUNNING"]}})

        def state() -> str:
            return str(window.runs(id={"any_": [run["id"]]})[0]["state"]["type"])

        end = time.monotonic() + 10 * WINDOW_S
        while time.monotonic() < end:
            assert state() == "RUNNING", "a stage that takes long is healthy"
            time.sleep(1)
        for pid in (worker.pid, *descendants(worker.pid)):
            os.kill(pid, signal.SIGKILL)
        until(lambda: state() != "RUNNING", WINDOW_S + LOOK_S + PATIENCE_S, "the end of a run that says nothing")
    final_state = window.runs(id={"any_": [run["id"]]})[0]["state"]
    assert final_state["type"] == "CRASHED" and "no sign of life for 10 s" in final_state["message"]


@red_when("../flows/alive.py", "a rule that stands there is left as it is")
@pytest.mark.long
def test_t14_the_rule_stands_once_on_the_server_with_the_window_of_the_settings(window: Server, toy: Path) -> None:
    rules = window.ask("automations/filter")
    assert [(each["name"], each["trigger"]["within"]) for each in rules] == [(flows.alive.AUTOMATION, WINDOW_S)]
    window.deploy(toy)
    rules = window.ask("automations/filter")
    assert [each["trigger"]["within"] for each in rules] == [120.0] and rules[0]["enabled"]


@red_when("../flows/alive.py", "a flow gives one sign of life alone")
def test_t14_signs_of_life_come_several_times_a_window_until_the_flow_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    several = threading.Event()

    def emit(event: str, resource: dict[str, str]) -> None:
        events.append((event, resource["prefect.resource.id"]))
        if len(events) > SIGNS:
            several.set()

    monkeypatch.setattr(flows.alive, "emit_event", emit)
    monkeypatch.setattr(flows.alive, "ended_on_server", lambda _: None)
    monkeypatch.setattr(flows.alive, "cancel_late", lambda _: None)
    with alive(0.04):
        pass
    assert events == [], "nobody to tell of outside a run"
    monkeypatch.setattr(flows.alive.flow_run, "get_id", lambda: "abc", raising=False)
    monkeypatch.setattr(flows.alive.flow_run, "get_name", lambda: "x", raising=False)
    before = threading.active_count()
    with alive(0.04):
        assert several.wait(PATIENCE_S)
    until(lambda: threading.active_count() == before, PATIENCE_S, "the end of the thread")
    assert set(events) == {(ALIVE, "prefect.flow-run.abc")}
    with pytest.raises(ValueError, match="10 seconds"):
        automation(9.0)
