"""A run that the server deleted or ended stops and records nothing; late runs of a schedule do not pile up."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.exceptions import Abort, ObjectNotFound

import flows.alive
from flows.alive import alive, cancel_late, ended_on_server
from flows.process import Stopped
from flows.tasks import STOP
from foalnet.artifact.gitrepo import git
from tests.flows.conftest import server, toy, toy_source  # noqa: F401
from tests.flows.helpers import PATIENCE_S, Server, until
from tests.flows.helpers import alive as lives

RUN = str(uuid4())
TRAIN = "train@drawn-foal-s1"


class Client:
    """Stands for Prefect's client: what it has of runs, and the states it was given."""

    def __init__(self, *, state: Any = None, error: Exception | None = None, runs: list[Any] | None = None) -> None:
        self.state, self.error, self.runs = state, error, runs or []
        self.given: dict[UUID, str] = {}

    def read_flow_run(self, _run: UUID) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(state=self.state)

    def read_flow_runs(self, **_filters: object) -> list[Any]:
        return self.runs

    def set_flow_run_state(self, run: UUID, state: Any, *, force: bool) -> None:
        assert force and state.is_cancelled()
        self.given[run] = state.message


def use(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    @contextlib.contextmanager
    def get_client(*, sync_client: bool) -> Iterator[Client]:
        assert sync_client
        yield client

    monkeypatch.setattr(flows.alive, "get_client", get_client)
    monkeypatch.setattr(flows.alive, "emit_event", lambda *_, **__: None)
    monkeypatch.setattr(flows.alive.flow_run, "get_id", lambda: RUN, raising=False)
    monkeypatch.setattr(flows.alive.flow_run, "get_name", lambda: "me", raising=False)


def test_a_deleted_or_ended_run_stops_its_tasks_and_a_silent_server_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for final, client in (
        ("deleted", Client(error=ObjectNotFound(ValueError()))),
        ("is Cancelled", Client(state=SimpleNamespace(name="Cancelled", is_final=lambda: True))),
    ):
        use(monkeypatch, client)
        assert final in (ended_on_server(RUN) or "")
        with pytest.raises(Abort, match=final), alive(0.04):
            stop = STOP.get()
            assert stop is not None and stop.wait(PATIENCE_S), "the tasks are asked to stop"
            raise Stopped("as a task does")
    for client in (Client(error=OSError("no network")), Client(state=SimpleNamespace(is_final=lambda: False))):
        use(monkeypatch, client)
        with alive(0.04) as life:
            life.check()


def test_what_a_deleted_run_made_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Client(error=ObjectNotFound(ValueError())))
    with pytest.raises(Abort), alive(1000.0) as life:
        life.check()
        raise AssertionError("recorded")


def test_late_runs_of_the_schedule_are_cancelled_and_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    late, mine, by_hand = (
        SimpleNamespace(id=each, name="x", auto_scheduled=made)
        for each, made in ((uuid4(), True), (UUID(RUN), True), (uuid4(), False))
    )
    client = Client(runs=[late, mine, by_hand])
    use(monkeypatch, client)
    monkeypatch.setattr(flows.alive.deployment, "get_id", lambda: None, raising=False)
    cancel_late(RUN)
    assert client.given == {}
    monkeypatch.setattr(flows.alive.deployment, "get_id", lambda: str(uuid4()), raising=False)
    cancel_late(RUN)
    assert list(client.given) == [late.id] and "run me" in client.given[late.id]


@pytest.mark.long
def test_a_run_deleted_while_it_trains_ends_within_the_window(server: Server, toy: Path) -> None:  # noqa: F811
    (toy / "toy.json").write_text(json.dumps({TRAIN: ["sleep"]}))
    env = server.environment(toy) | {"FOALNET_SILENCE_S": "10"}
    command = [sys.executable, "-c", "from flows.retrain import retrain; retrain()"]
    with subprocess.Popen(command, cwd=toy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as flow:
        reader = threading.Thread(target=flow.stdout.read if flow.stdout else str, daemon=True)
        reader.start()
        until((toy / "pids.txt").exists, 300, "the long stage")
        pids = [int(pid) for pid in (toy / "pids.txt").read_text().split()]
        (run,) = server.runs(state={"type": {"any_": ["RUNNING"]}})
        url = f"{server.env['PREFECT_API_URL']}/flow_runs/{run['id']}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60)
        until(lambda: not any(lives(pid) for pid in pids), PATIENCE_S, "the end of the stage")
        assert flow.wait(PATIENCE_S) != 0
        reader.join()
    assert git(toy, "branch", "--list", "runs/*", "champion").stdout == ""
    assert not (toy / "work/worktrees/drawn").exists()
