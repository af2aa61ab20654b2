"""Sends a flow run's heartbeats to the server, stops a run that the server deleted or ended, and cancels late runs.

Prefect's own heartbeat comes every 30 s at the soonest, and a self-hosted server does not react to its absence. So a
thread of each flow sends heartbeats, and an automation on the server (made by flows.deploy) marks a run Crashed that
sent none for the setting `silence_s`. The thread runs however long a stage takes and ends with the process.

The same thread checks whether the server still has the run. A run that was deleted there, or ended, stops.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events import ResourceSpecification, emit_event
from prefect.events.actions import ChangeFlowRunState
from prefect.exceptions import Abort, ObjectNotFound
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled

from flows.process import Stopped
from flows.tasks import STOP, run_logger

ALIVE = "foalnet.flow-run.alive"
AUTOMATION = "foalnet: a silent run has crashed"
SIGNS = 4
"""Heartbeats within the window: some may be lost or late."""


class Life:
    """The state of this run on the server."""

    def __init__(self, run: str | None, stop: threading.Event) -> None:
        self.run = run
        self.stop = stop
        self.ended: str | None = None

    def look(self) -> None:
        """Set `stop` where the server deleted or ended the run."""
        if self.run is not None and (ended := ended_on_server(self.run)) is not None:
            self.ended = ended
            self.stop.set()

    def check(self) -> None:
        """Raise Stopped where the server deleted or ended the run: its results are not recorded."""
        self.look()
        if self.ended is not None:
            raise Stopped(f"this run {self.ended}: its results are not recorded")


@contextlib.contextmanager
def alive(silence_s: float) -> Iterator[Life]:
    """Send heartbeats of this flow run while the block runs, and stop the run where the server ended it.

    It first cancels late runs of the same deployment's schedule. Outside a flow run it only gives the tasks their STOP.
    """
    run, stop = flow_run.get_id(), threading.Event()
    life, done = Life(run, stop), threading.Event()
    token = STOP.set(stop)
    try:
        if run is not None:
            _start(life, done, silence_s)
            cancel_late(run)
        yield life
    except Stopped as stopped:
        if life.ended is not None:
            raise Abort(f"this run {life.ended}") from stopped  # the server accepts no state of it
        raise
    finally:
        done.set()
        STOP.reset(token)


def _start(life: Life, done: threading.Event, silence_s: float) -> None:
    """Start the thread that sends heartbeats until `done` is set."""
    resource = {
        "prefect.resource.id": f"prefect.flow-run.{life.run}",
        "prefect.resource.name": flow_run.get_name() or "",
    }

    def talk() -> None:
        while True:
            emit_event(ALIVE, resource=resource)
            life.look()
            if done.wait(silence_s / SIGNS):
                return

    # With this thread's context, which knows which server the run is on.
    threading.Thread(target=contextvars.copy_context().run, args=(talk,), daemon=True).start()


def ended_on_server(run: str) -> str | None:
    """Return how the server ended a run; None where the run is alive or the server does not answer."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run)).state
    except ObjectNotFound:
        return "was deleted on the server"
    except (httpx.HTTPError, OSError, RuntimeError):
        return None
    return f"is {state.name} on the server" if state is not None and state.is_final() else None


def cancel_late(run: str) -> None:
    """Cancel scheduled runs of this deployment that are already due: this run does their work."""
    of = deployment.get_id()
    if of is None:
        return
    late = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    mine = DeploymentFilter(id=DeploymentFilterId(any_=[UUID(str(of))]))
    with get_client(sync_client=True) as client:
        for each in client.read_flow_runs(flow_run_filter=late, deployment_filter=mine):
            if each.auto_scheduled and str(each.id) != run:
                message = f"late: run {flow_run.get_name()} started after this run was due and does its work"
                client.set_flow_run_state(each.id, Cancelled(message=message), force=True)
                run_logger().info("cancelled %s, which was late: this run does its work", each.name)


def automation(silence_s: float) -> AutomationCore:
    """Return the server's rule on silent runs. A heartbeat after the end does no harm: an ended run cannot crash."""
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=AUTOMATION,
        description="made by `foalnet deploy`; docs/operating.md",
        trigger=EventTrigger(
            after={ALIVE},
            expect={ALIVE, *ends},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silence_s),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no sign of life for {silence_s:g} s: its worker or its machine ended; run again, it resumes",
            )
        ],
    )


def make_automation(silence_s: float) -> None:
    """Create the rule on the server that PREFECT_API_URL names; update an existing one that differs."""
    wanted = automation(silence_s)
    with get_client(sync_client=True) as client:
        existing = client.read_automations_by_name(AUTOMATION)
        for each in existing[1:]:
            client.delete_automation(each.id)
        if not existing:
            client.create_automation(wanted)
        elif existing[0].trigger != wanted.trigger or existing[0].actions != wanted.actions:
            client.update_automation(existing[0].id, wanted)
