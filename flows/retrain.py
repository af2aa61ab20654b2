"""The flow `retrain`: brings one corpus' report up to date, stage by stage, and shows what came of it.

It runs the very stages of dvc.yaml through DVC, so `dvc repro` on a laptop and this flow on a server leave the same
files and the same dvc.lock.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from flows import artifacts
from flows.stages import RETRIES, Stage, StageFailed, may_retry, plan, reproduce
from foalnet.config import load_settings
from foalnet.errors import UsageError
from foalnet.paths import Paths

# Below the 30 s that Prefect's worker gives a cancelled flow: the wait for a retry cannot be cut short.
RETRY_DELAYS_S: list[float] = [5, 20]

# Task parameters are shown and stored; how a cancel reaches the threads of the tasks is neither.
STOP: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)


def retry_condition(_task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task is run again: see flows.stages.may_retry."""
    return isinstance(state.data, StageFailed) and may_retry(state.data.code, task_run.run_count)


@task(
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=retry_condition,
)
def run_stage(stage: str, home: str) -> dict[str, Any]:
    """Bring one stage up to date with DVC; return its name and whether its command ran."""
    logger = run_logger()
    ran = reproduce(stage, Path(home), on_line=logger.info, stop=STOP.get())
    return {"stage": stage, "ran": ran}


@flow(name="retrain")
def retrain(corpus: str = "drawn") -> dict[str, Any]:
    """Bring the report of `corpus` up to date in the project folder that FOALNET_HOME names.

    Returns what ran and where the report lies. Fails with the first stage that failed; stages that do not need it are
    brought up to date all the same.
    """
    home = project_home()
    stages = plan(home, corpus)
    run_logger().info("%d stages of corpus %s in %s", len(stages), corpus, home)
    done = run_stages(stages, home, slots=load_settings().slots)
    artifacts.publish(Paths(corpus, home))
    return {
        "corpus": corpus,
        "ran": [each["stage"] for each in done if each["ran"]],
        "report": Paths(corpus).report_html.as_posix(),
    }


def run_stages(stages: list[Stage], home: Path, *, slots: int) -> list[dict[str, Any]]:
    """Run every stage as a task once those it needs are done, `slots` at a time, and return their results in order.

    With one slot the order is that of `stages`. A cancel ends what runs and starts nothing more.
    """
    stop = threading.Event()
    STOP.set(stop)
    futures: dict[str, PrefectFuture[Any]] = {}
    tasks: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=slots)
    with tasks as runner:
        try:
            for stage in stages:
                futures[stage.name] = runner.submit(
                    run_stage,
                    parameters={"stage": stage.name, "home": str(home)},
                    wait_for=[futures[name] for name in stage.needs],
                )
            for future in futures.values():
                future.wait()
        except BaseException:
            stop.set()  # before the runner is left: leaving it waits for its threads
            raise
    return [future.result() for future in futures.values()]


def project_home() -> Path:
    """Return the project's folder: the setting `home` (FOALNET_HOME), else the current folder.

    Raises UsageError where no project is there.
    """
    home = (load_settings().home or Path()).resolve()
    if not (home / "dvc.yaml").is_file():
        raise UsageError(
            "no project here: dvc.yaml is missing",
            file=home,
            action="set FOALNET_HOME to the project's folder where the worker starts (docs/operating.md)",
        )
    return home


def run_logger() -> Any:
    """Return the run's logger, or a plain one where the function is called without Prefect's engine."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("flows")
