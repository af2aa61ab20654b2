"""Deploys prefect.yaml to a Prefect server for this project folder, and keeps the schedules that an operator set.

`prefect deploy` knows no project folder, silently replaces another project's deployments, and resets every schedule
to the file's; prefect.yaml refuses it. Run as `python -m flows.deploy` in the project's folder (`foalnet deploy`). It
also creates the work pool and the rule for silent runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import TypeAdapter

from flows import POOL
from flows.alive import make_automation
from foalnet.config import load_settings
from foalnet.config.deployments import PREFECT_FILE, read_deployments
from foalnet.core.errors import FoalnetError, MachineError, UsageError, reason

TAG = "foalnet"
HOME = "FOALNET_HOME"
SLUG = "prefect-yaml-"
"""Prefix of a schedule's slug; the slug holds its number in the file, and `on` or `off` as the file had it."""
SCHEDULE: TypeAdapter[Any] = TypeAdapter(SCHEDULE_TYPES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """A deployment of prefect.yaml, its flow, and the server's deployment of the same name."""

    entry: Mapping[str, Any]
    flow: Flow[..., Any]
    name: str
    stored: DeploymentResponse | None


def run_foalnet_deploy_instead() -> NoReturn:
    """Raise UsageError: as the build step of prefect.yaml it refuses a raw `prefect deploy`; its output names it."""
    raise UsageError(
        "`prefect deploy` knows neither project folder nor schedules", file=PREFECT_FILE, action="foalnet deploy"
    )


def deploy(home: Path, *, take_over: bool, say: Callable[[str], None]) -> None:
    """Deploy every deployment of the project's prefect.yaml to the server that PREFECT_API_URL names.

    UsageError (exit 2), with nothing changed, where no project or server is named or where a deployment belongs to
    another project. MachineError (exit 4) where the server does not answer.
    """
    entries, url = _entries(home), get_current_settings().api.url
    if url is None:
        raise UsageError(
            "no server is named", action="export PREFECT_API_URL=http://127.0.0.1:4200/api (`make serve` runs one)"
        )
    try:
        with get_client(sync_client=True) as client:
            deployments = [_deployment(client, home, entry) for entry in entries]
            if not take_over:
                _refuse_foreign(home, deployments)
            silence_s = load_settings(home).silence_s
            _make_pool(client)
            make_automation(silence_s)
            for each in deployments:
                say(_put(client, home, each))
    except (httpx.HTTPError, RuntimeError) as error:
        raise MachineError(
            f"the server at {url} failed: {reason(error)}",
            action="is it running (`make serve`)? is PREFECT_API_URL right?",
        ) from error
    say(f"work pool {POOL} is ready; a run without a sign of life for {silence_s:g} s counts as crashed")


def _entries(home: Path) -> list[dict[str, Any]]:
    """Read the deployments of prefect.yaml."""
    if not (home / PREFECT_FILE).is_file():
        raise UsageError(
            f"no {PREFECT_FILE} here", file=home, action="run it in the project's folder, or set FOALNET_HOME"
        )
    return read_deployments(home / PREFECT_FILE)


def _deployment(client: SyncPrefectClient, home: Path, entry: Mapping[str, Any]) -> Deployment:
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(home / entry["entrypoint"]))
    name = f"{flow.name}/{entry['name']}"
    try:
        return Deployment(entry=entry, flow=flow, name=name, stored=client.read_deployment_by_name(name))
    except ObjectNotFound:
        return Deployment(entry=entry, flow=flow, name=name, stored=None)


def _home_of(stored: DeploymentResponse) -> str | None:
    """Return the project folder that a deployment names; None where it names none."""
    home = (stored.job_variables or {}).get("env", {}).get(HOME)
    return home or None


def _refuse_foreign(home: Path, deployments: Sequence[Deployment]) -> None:
    """Raise UsageError (exit 2) where a deployment of the same name belongs to another project."""
    homes = {each.name: _home_of(each.stored) for each in deployments if each.stored is not None}
    foreign = {name: other for name, other in homes.items() if other is not None and other != str(home)}
    if foreign:
        raise UsageError(
            f"{', '.join(foreign)} on this server: of another project, {', '.join(sorted(set(foreign.values())))}",
            file=home,
            action="use one server per project (`make serve PORT=4201`); if that folder was moved here or is no longer "
            "used: foalnet deploy --take-over",
        )


def _make_pool(client: SyncPrefectClient) -> None:
    """Create or update the work pool without network access beyond the server (`prefect work-pool create` needs it)."""
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template), overwrite=True)


def _put(client: SyncPrefectClient, home: Path, deployment: Deployment) -> str:
    """Create or update one deployment; return a line about it."""
    entry, flow, before = deployment.entry, deployment.flow, deployment.stored
    schedules = merged(entry.get("schedules") or [], before.schedules if before is not None else [])
    pool = entry["work_pool"]
    variables = pool.get("job_variables") or {}
    # PYTHONPATH too: otherwise a worker started from another project's environment imports that project's code.
    env = {**variables.get("env", {}), HOME: str(home), "PYTHONPATH": str(home)}
    client.create_deployment(
        flow_id=client.create_flow(flow),
        name=entry["name"],
        description=f"{entry['description']}; project {home}",
        entrypoint=entry["entrypoint"],
        parameters=entry["parameters"],
        parameter_openapi_schema=parameter_schema(flow).model_dump(),
        enforce_parameter_schema=True,
        tags=[TAG, entry["parameters"]["corpus"], *entry.get("tags", [])],
        work_pool_name=pool["name"],
        concurrency_limit=entry["concurrency_limit"],
        schedules=schedules,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(home)}}],
        job_variables={**variables, "env": env},
    )
    shown = [f"{_schedule_text(each.schedule)} {'on' if each.active else 'paused'}" for each in schedules]
    return f"{deployment.name}: {'renewed' if before else 'made'}; {', '.join(shown) or 'no schedule'}"


def merged(wanted: Sequence[Mapping[str, Any]], stored: Sequence[DeploymentSchedule]) -> list[DeploymentScheduleCreate]:
    """Return the schedules to deploy: those of the file, and those that an operator created on the server.

    A schedule of the file stays on or paused as it is on the server until `active` changes in the file.
    """
    made, used = [], set()
    for number, entry in enumerate(wanted):
        schedule = SCHEDULE.validate_python({key: value for key, value in entry.items() if key != "active"})
        active, mine = bool(entry.get("active", True)), f"{SLUG}{number}-"
        slug = f"{mine}{'on' if active else 'off'}"
        for each in stored:
            # Without a slug: deployed by `prefect deploy`.
            if (each.slug or "").startswith(mine) or (each.slug is None and each.schedule == schedule):
                active = each.active if each.slug in (None, slug) else active
                used.add(each.id)
        made.append(DeploymentScheduleCreate(schedule=schedule, active=active, slug=slug))
    own = [each for each in stored if each.id not in used and not (each.slug or "").startswith(SLUG)]
    return made + [
        DeploymentScheduleCreate(
            schedule=each.schedule,
            active=each.active,
            max_scheduled_runs=each.max_scheduled_runs,
            parameters=each.parameters,
            slug=each.slug,
        )
        for each in own
    ]


def _schedule_text(schedule: Any) -> str:
    return " ".join(str(value) for value in schedule.model_dump(exclude_defaults=True).values())


def main() -> int:
    """Deploy the current folder's project; return 0 or the error's exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--take-over", action="store_true", help="also deployments of another project's folder")
    take_over = parser.parse_args().take_over
    try:
        deploy(Path.cwd(), take_over=take_over, say=lambda line: print(line, flush=True))
    except FoalnetError as error:
        print(f"foalnet: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
