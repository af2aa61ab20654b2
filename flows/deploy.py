"""The deployments of prefect.yaml on a server, with what the file cannot say: this folder, and what an operator set.

`prefect deploy` knows no folder, takes over the deployments of another project without a word, and sets every schedule
back to what the file says; prefect.yaml has it refused. Run as `python -m flows.deploy` in the project's
folder (`foalnet deploy`). It also makes the work pool and the rule for silent runs.
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
"""A schedule of the file: the slug says which one, and whether the file had it on or off when it was deployed."""
SCHEDULE: TypeAdapter[Any] = TypeAdapter(SCHEDULE_TYPES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A deployment of prefect.yaml, its flow, and what the server has under its name."""

    entry: Mapping[str, Any]
    flow: Flow[..., Any]
    name: str
    stored: DeploymentResponse | None


def run_foalnet_deploy_instead() -> NoReturn:
    """Refuse a raw `prefect deploy`: it is the build step of prefect.yaml, and Prefect's last line names it."""
    raise UsageError(
        "`prefect deploy` knows neither project folder nor schedules", file=PREFECT_FILE, action="foalnet deploy"
    )


def deploy(home: Path, *, take_over: bool, say: Callable[[str], None]) -> None:
    """Bring every deployment of the project's prefect.yaml to the server that PREFECT_API_URL names.

    UsageError (exit 2) where no project or no server is named, or where a deployment is another project's; nothing is
    changed then. MachineError (exit 4) where the server gives no answer.
    """
    entries, url = _entries(home), get_current_settings().api.url
    if url is None:
        raise UsageError(
            "no server is named", action="export PREFECT_API_URL=http://127.0.0.1:4200/api (`make serve` runs one)"
        )
    try:
        with get_client(sync_client=True) as client:
            found = [_found(client, home, entry) for entry in entries]
            if not take_over:
                _refuse_foreign(home, found)
            silence_s = load_settings(home).silence_s
            _make_pool(client)
            make_automation(silence_s)
            for each in found:
                say(_put(client, home, each))
    except (httpx.HTTPError, RuntimeError) as error:
        raise MachineError(
            f"the server at {url} failed: {reason(error)}",
            action="is it running (`make serve`)? is PREFECT_API_URL right?",
        ) from error
    say(f"work pool {POOL} is ready; a run without a sign of life for {silence_s:g} s is called crashed")


def _entries(home: Path) -> list[dict[str, Any]]:
    """Read the deployments of prefect.yaml."""
    if not (home / PREFECT_FILE).is_file():
        raise UsageError(
            f"no {PREFECT_FILE} here", file=home, action="run it in the project's folder, or set FOALNET_HOME"
        )
    return read_deployments(home / PREFECT_FILE)


def _found(client: SyncPrefectClient, home: Path, entry: Mapping[str, Any]) -> Found:
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(home / entry["entrypoint"]))
    name = f"{flow.name}/{entry['name']}"
    try:
        return Found(entry=entry, flow=flow, name=name, stored=client.read_deployment_by_name(name))
    except ObjectNotFound:
        return Found(entry=entry, flow=flow, name=name, stored=None)


def _home_of(stored: DeploymentResponse) -> str | None:
    """Return the project folder that a deployment works for, None where it names none."""
    found = (stored.job_variables or {}).get("env", {}).get(HOME)
    return found or None


def _refuse_foreign(home: Path, found: Sequence[Found]) -> None:
    """Refuse (UsageError, exit 2) to take the place of another project's deployments."""
    homes = {each.name: _home_of(each.stored) for each in found if each.stored is not None}
    foreign = {name: other for name, other in homes.items() if other is not None and other != str(home)}
    if foreign:
        raise UsageError(
            f"{', '.join(foreign)} on this server: of another project, {', '.join(sorted(set(foreign.values())))}",
            file=home,
            action="give each project a server of its own (`make serve PORT=4201`); where that folder moved here or is "
            "given up: foalnet deploy --take-over",
        )


def _make_pool(client: SyncPrefectClient) -> None:
    """Create or renew the work pool, without the look at the internet that `prefect work-pool create` takes."""
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template), overwrite=True)


def _put(client: SyncPrefectClient, home: Path, found: Found) -> str:
    """Create or renew one deployment; return what to say of it."""
    entry, flow, before = found.entry, found.flow, found.stored
    schedules = merged(entry.get("schedules") or [], before.schedules if before is not None else [])
    pool = entry["work_pool"]
    variables = pool.get("job_variables") or {}
    # The code, too: a worker that another project's environment started imports that one's otherwise.
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
    shown = [f"{_words(each.schedule)} {'on' if each.active else 'paused'}" for each in schedules]
    return f"{found.name}: {'renewed' if before else 'made'}; {', '.join(shown) or 'no schedule'}"


def merged(wanted: Sequence[Mapping[str, Any]], stored: Sequence[DeploymentSchedule]) -> list[DeploymentScheduleCreate]:
    """Return the schedules to deploy: those of the file, and those that an operator made on the server.

    One of the file stays on or paused as it is on the server, until the file says otherwise than when it was deployed.
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


def _words(schedule: Any) -> str:
    return " ".join(str(value) for value in schedule.model_dump(exclude_defaults=True).values())


def main() -> int:
    """Deploy the current folder's project; 0, or the code of what went wrong."""
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
