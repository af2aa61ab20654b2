"""Shared by the flows: the task that runs one stage of dvc.yaml, running stages in order, the project's folder."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from flows.gpu import gpu_slot, make_slot
from flows.process import Stopped
from flows.progress import Progress
from flows.stages import RETRIES, UP_TO_DATE, Stage, StageFailed, may_retry, reproduce, up_to_date
from foalnet.artifact.dvcfiles import mend
from foalnet.config import Settings, load_params, load_settings
from foalnet.config.load import DEFAULT_PARAMS
from foalnet.core.errors import FoalnetError, UsageError
from foalnet.core.files import content_key

# Less than the 30 s that Prefect's worker gives a cancelled flow: the wait for a retry cannot be cut short.
RETRY_DELAYS_S: list[float] = [5, 20]

# Stages that train: they use the GPU of the settings and print progress lines.
TRAINS = ("train@", "final@")
DIGEST_SHOWN = 10
ALWAYS_RUNS = "inventory@"

# Not passed as task parameters, since Prefect shows and stores those: the cancel event, and corpus roots.
STOP: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)
GPU: contextvars.ContextVar[bool] = contextvars.ContextVar("gpu", default=False)
ENV: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar("env", default=None)
DONE: contextvars.ContextVar[Done | None] = contextvars.ContextVar("done", default=None)


# Prefect's message about a task that did not run because another failed; that other error is the one to show.
NOT_READY = "Finished in state NotReady("
TASK_RUNS = "prefect.task_runs"


class WithoutTraceback(logging.Filter):
    """Logs an expected error once and without its traceback, and a cancelled task as INFO.

    Prefect logs a flow's exception twice: where it leaves the flow, and as the run's last line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record."""
        if record.name == TASK_RUNS and record.getMessage().startswith(NOT_READY):
            return False
        stop = STOP.get()
        if record.name == TASK_RUNS and stop is not None and stop.is_set():
            record.levelno, record.levelname = logging.INFO, "INFO"
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, FoalnetError | Stopped):
            return True
        record.msg, record.args, record.exc_info = str(error), (), None
        return record.funcName != "run_context"


for each in ("prefect.flow_runs", TASK_RUNS):
    logging.getLogger(each).addFilter(WithoutTraceback())


class Done:
    """Stages that are up to date by DVC: one query for those before the inventory, which always runs, one after."""

    def __init__(self, names: Sequence[str], home: Path) -> None:
        self.home = home
        self.lock = threading.Lock()
        self.known: set[str] = set()
        ends = next((number for number, name in enumerate(names) if name.startswith(ALWAYS_RUNS)), len(names))
        self.to_ask = [list(part) for part in (names[:ends], names[ends + 1 :]) if part]

    def has(self, stage: str) -> bool:
        """Return whether a stage is up to date; the stages that it depends on must be so already."""
        with self.lock:
            for part in [part for part in self.to_ask if stage in part]:
                self.to_ask.remove(part)
                self.known.update(up_to_date(part, self.home, stop=STOP.get(), env=ENV.get()))
        return stage in self.known


def retry_condition(_task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Return whether Prefect runs a failed task again: see flows.stages.may_retry."""
    return isinstance(state.data, StageFailed) and may_retry(state.data.code, task_run.run_count)


def stop_event() -> threading.Event | None:
    """Return the event with which a flow stops its tasks.

    A task calls this function instead of reading STOP: a task is pickled with the globals it uses, and STOP cannot be.
    """
    return STOP.get()


# DVC does the caching; flows.stages.may_retry decides about retries.
TASK: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": RETRIES,
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": retry_condition,
}


@task(task_run_name="{stage}", **TASK)
def run_stage(stage: str, home: str) -> dict[str, Any]:
    """Bring one stage up to date with DVC; return its name and whether its command ran."""
    return {"stage": stage, "ran": bring(stage, home)}


def bring(stage: str, home: str) -> bool:
    """Bring one stage up to date within a task, with a GPU slot if it trains on a GPU; return whether it ran."""
    done, logger, trains = DONE.get(), run_logger(), stage.startswith(TRAINS)
    if done is not None and done.has(stage):
        logger.info(UP_TO_DATE, stage)
        return False
    on_line = Progress(stage, logger).line if trains else logger.info
    with gpu_slot(STOP.get()) if trains and GPU.get() else contextlib.nullcontext():
        return reproduce(stage, Path(home), on_line=on_line, stop=STOP.get(), env=ENV.get())


def run_stages(
    stages: Sequence[Stage],
    home: Path,
    *,
    settings: Settings,
    env: Mapping[str, str] | None = None,
    runner_task: Any = run_stage,
    also: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Run every stage as a task after those it needs, `settings.slots` at a time; return results in order.

    With one slot the order is that of `stages`. A needed stage that is not among `stages` is not run; `also` names
    further stages that `runner_task` brings up to date. A cancel ends running tasks and starts no further ones.
    """
    stop = STOP.get() or threading.Event()
    token = STOP.set(stop)
    ENV.set(env)
    DONE.set(Done([*(stage.name for stage in stages), *also], home))
    GPU.set(settings.device.startswith("cuda"))
    if GPU.get() and any(stage.name.startswith(TRAINS) for stage in stages):
        make_slot()
    futures: dict[str, PrefectFuture[Any]] = {}
    tasks: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=settings.slots)
    with tasks as runner:
        try:
            for stage in stages:
                futures[stage.name] = runner.submit(
                    runner_task,
                    parameters={"stage": stage.name, "home": str(home)},
                    wait_for=[futures[name] for name in stage.needs if name in futures],
                )
            for future in futures.values():
                future.wait()
        except BaseException:
            stop.set()  # before the runner is left: leaving it waits for its threads
            raise
        finally:
            STOP.reset(token)
    return [future.result() for future in futures.values()]


def project_home() -> Path:
    """Return the project's folder: the setting `home` (FOALNET_HOME), else the current folder.

    It first repairs files that a killed DVC left half written. UsageError (exit 2) where there is no project.
    """
    home = (load_settings().home or Path()).resolve()
    if not (home / "dvc.yaml").is_file():
        raise UsageError(
            "no project here: dvc.yaml is missing",
            file=home,
            action="set FOALNET_HOME to the project's folder where the worker starts (docs/operating.md)",
        )
    for said in mend(home):
        run_logger().warning(said)
    return home


def params_digest(corpus: str, home: Path | None = None) -> str:
    """Return a short digest of all params of a corpus, by default in the flow's project."""
    path = (project_home() if home is None else home) / DEFAULT_PARAMS
    return content_key(load_params(corpus, path).model_dump(mode="json"))[:DIGEST_SHOWN]


def run_name() -> str:
    """Return the name of a new flow run: its corpus and the digest of its params."""
    corpus = str(flow_run.parameters["corpus"])
    try:
        return f"{corpus}, params {params_digest(corpus)}"
    except FoalnetError:
        return corpus  # the flow itself reports the error


def run_logger() -> Any:
    """Return the run's logger, or a plain one outside a flow run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("flows")
