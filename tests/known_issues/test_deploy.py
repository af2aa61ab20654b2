"""A deploy names the project's folder, keeps what an operator set, and takes over no other project's deployments."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule

from flows.deploy import merged
from tests.flows.conftest import server, toy, toy_source  # noqa: F401
from tests.flows.helpers import Server
from tests.support.projects import environment

NIGHTLY = {"cron": "0 3 * * *", "timezone": "UTC", "active": False}


def stored(cron: str, *, active: bool, slug: str | None) -> DeploymentSchedule:
    return DeploymentSchedule(id=uuid4(), schedule=CronSchedule(cron=cron, timezone="UTC"), active=active, slug=slug)


@pytest.mark.parametrize(
    ("now", "before", "active"),
    [
        (NIGHTLY, None, [False]),
        (NIGHTLY, stored("0 3 * * *", active=True, slug="prefect-yaml-0-off"), [True]),
        (NIGHTLY, stored("0 3 * * *", active=False, slug="prefect-yaml-0-on"), [False]),
        (NIGHTLY | {"active": True}, stored("0 3 * * *", active=False, slug="prefect-yaml-0-off"), [True]),
        (NIGHTLY | {"active": True}, stored("0 3 * * *", active=False, slug="prefect-yaml-0-on"), [False]),
        (NIGHTLY | {"cron": "0 4 * * *"}, stored("0 3 * * *", active=True, slug="prefect-yaml-0-off"), [True]),
        # What `prefect deploy` made of an older version has no slug.
        (NIGHTLY, stored("0 3 * * *", active=True, slug=None), [True]),
        # An operator's own.
        (NIGHTLY, stored("0 5 * * *", active=True, slug=None), [False, True]),
        (NIGHTLY, stored("0 5 * * *", active=True, slug="mine"), [False, True]),
    ],
)
def test_a_schedule_stays_as_an_operator_set_it_until_the_file_says_otherwise(
    now: dict[str, Any], before: DeploymentSchedule | None, active: list[bool]
) -> None:
    made = merged([now], [before] if before is not None else [])
    assert [each.active for each in made] == active
    assert made[0].schedule.cron == now["cron"]
    # The same file again changes nothing.
    again = merged([now], [DeploymentSchedule(id=uuid4(), **each.model_dump(exclude={"replaces"})) for each in made])
    assert [(each.schedule, each.active) for each in again] == [(each.schedule, each.active) for each in made]


def test_a_schedule_that_left_the_file_leaves_the_server() -> None:
    assert merged([], [stored("0 3 * * *", active=True, slug="prefect-yaml-0-off")]) == []


def foalnet_deploy(project: Path, env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "foalnet", "deploy", *options]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=300)


def test_without_a_server_it_says_which_variable_names_one(toy: Path, tmp_path: Path) -> None:  # noqa: F811
    env = environment(toy) | {"PREFECT_HOME": str(tmp_path / "home")}
    env.pop("PREFECT_API_URL", None)
    done = foalnet_deploy(toy, env)
    assert done.returncode == 2
    assert "PREFECT_API_URL=http://127.0.0.1:4200/api" in done.stderr


@pytest.mark.long
def test_two_clones_on_one_server(server: Server, toy: Path, tmp_path: Path) -> None:  # noqa: F811
    env = environment(toy) | server.env
    env.pop("FOALNET_HOME")
    done = foalnet_deploy(toy, env)
    assert done.returncode == 0, done.stderr
    assert "retrain/drawn: made; 0 3 * * * UTC paused" in done.stdout

    def deployed() -> dict[str, dict[str, Any]]:
        return {each["entrypoint"]: each for each in server.ask("deployments/filter")}

    retrain = deployed()["flows/retrain.py:retrain"]
    assert retrain["job_variables"]["env"] == {"FOALNET_HOME": str(toy), "PYTHONPATH": str(toy)}
    assert retrain["pull_steps"][0]["prefect.deployments.steps.set_working_directory"] == {"directory": str(toy)}
    assert retrain["tags"] == ["foalnet", "drawn"] and str(toy) in retrain["description"]
    assert retrain["global_concurrency_limit"]["limit"] == 1

    (schedule,) = retrain["schedules"]
    server.prefect(toy, "deployment", "schedule", "resume", "retrain/drawn", schedule["id"])
    assert "0 3 * * * UTC on" in foalnet_deploy(toy, env).stdout
    assert [each["active"] for each in deployed()["flows/retrain.py:retrain"]["schedules"]] == [True]

    clone = shutil.copytree(toy, tmp_path / "clone", symlinks=True)
    other = foalnet_deploy(clone, env | {"PYTHONPATH": str(clone)})
    assert other.returncode == 2
    assert f"of another project, {toy}" in other.stderr and "foalnet deploy --take-over" in other.stderr
    assert deployed()["flows/retrain.py:retrain"]["job_variables"]["env"]["FOALNET_HOME"] == str(toy)
    assert foalnet_deploy(clone, env | {"PYTHONPATH": str(clone)}, "--take-over").returncode == 0
    assert deployed()["flows/retrain.py:retrain"]["job_variables"]["env"]["FOALNET_HOME"] == str(clone)

    for more in ({}, {"FOALNET_HOME": str(toy)}):
        raw = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(raw, cwd=toy, env=env | more, capture_output=True, text=True, timeout=300)
        assert done.returncode != 0
        assert "run_foalnet_deploy_instead" in (done.stdout + done.stderr).splitlines()[-1]
    assert deployed()["flows/retrain.py:retrain"]["job_variables"]["env"]["FOALNET_HOME"] == str(clone)


def test_a_raw_prefect_deploy_is_refused_by_a_step_that_exists() -> None:
    from prefect.utilities.importtools import import_object

    from foalnet.core.errors import UsageError
    from tests.support.projects import REPOSITORY

    (step,) = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["build"]
    (name,) = step
    with pytest.raises(UsageError, match="foalnet deploy"):
        import_object(name)()
