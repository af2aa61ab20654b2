"""Signs of life: a run that falls silent, with its worker or its machine, becomes Crashed.

Prefect's own heartbeat comes every 30 s at the soonest, and a self-hosted server makes nothing of its absence. So a
thread of each flow tells the server that the run lives, and an automation of the server (made by flows.pool) calls a
run Crashed that was alive and then said nothing for the setting `silence_s`. However long a stage takes, and whatever
the flow waits for, the thread goes on; it ends with the process.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from datetime import timedelta

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import ResourceSpecification, emit_event
from prefect.events.actions import ChangeFlowRunState
from prefect.runtime import flow_run

ALIVE = "foalnet.flow-run.alive"
AUTOMATION = "foalnet: a silent run has crashed"
SIGNS = 4
"""Signs of life within the window: some may be lost or late."""


@contextlib.contextmanager
def alive(silence_s: float) -> Iterator[None]:
    """Tell the server, while the block runs, that this flow run lives; without a run it does nothing."""
    run = flow_run.get_id()
    if run is None:
        yield
        return
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.name": flow_run.get_name() or ""}
    done = threading.Event()

    def tell() -> None:
        while True:
            emit_event(ALIVE, resource=resource)
            if done.wait(silence_s / SIGNS):
                return

    # With this thread's context, which knows which server the run is on.
    threading.Thread(target=contextvars.copy_context().run, args=(tell,), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def automation(silence_s: float) -> AutomationCore:
    """Return the server's rule. A sign that comes after the end does no harm: a run that ended does not crash."""
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=AUTOMATION,
        description="made by `python -m flows.pool`; docs/operating.md",
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
    """Put the rule on the server that PREFECT_API_URL names; one of the same name is replaced where it differs."""
    wanted = automation(silence_s)
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(AUTOMATION)
        for each in found[1:]:
            client.delete_automation(each.id)
        if not found:
            client.create_automation(wanted)
        elif found[0].trigger != wanted.trigger or found[0].actions != wanted.actions:
            client.update_automation(found[0].id, wanted)
