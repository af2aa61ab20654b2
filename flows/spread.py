"""Distributes tasks by the setting `task_runner`: to processes on this machine, or to the workers of a Dask cluster."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.process import run
from flows.stages import SAID_LINES, StageFailed, environment
from flows.tasks import STOP, run_logger, stop_event
from foalnet.config import Settings
from foalnet.core.errors import MachineError


def verb(*arguments: str) -> list[str]:
    """Return the command of a verb."""
    return [sys.executable, "-m", "foalnet", *arguments]


def run_verb(stage: str, command: Sequence[str], home: str) -> None:
    """Run a command within a task, in a process of its own; StageFailed with its exit code, Stopped on a cancel."""
    said: deque[str] = deque(maxlen=SAID_LINES)
    logger = run_logger()

    def listen(line: str) -> None:
        said.append(line)
        logger.info(line)

    code = run(command, cwd=Path(home), env=environment(), on_line=listen, stop=stop_event())
    if code != 0:
        raise StageFailed(stage, code, "\n".join(said))


def spread(
    task: Any,
    each: Sequence[Mapping[str, Any]],
    *,
    settings: Settings,
    at_once: int,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Run a task for each set of parameters, `at_once` at a time; `done` gets the place of each that ended.

    A cancel ends running tasks and starts no further ones. Every task is tried before the first failure is raised.
    """
    stop = STOP.get() or threading.Event()
    STOP.set(stop)
    place: dict[Any, int] = {}
    with task_runner(settings, min(at_once, len(each))) as runner:
        try:
            for number, parameters in enumerate(each):
                place[runner.submit(task, parameters=dict(parameters))] = number
            for future in as_completed(list(place)):
                done(place[future])
        except BaseException:
            stop.set()  # before the runner is left: leaving it waits for its threads
            raise
        for future in place:
            future.result()


def task_runner(settings: Settings, workers: int) -> TaskRunner[Any]:
    """Return the runner of the setting `task_runner`: threads with a process each, or a Dask cluster on loopback.

    MachineError (exit 4) where Dask is requested but not installed.
    """
    if settings.task_runner == "process":
        return ThreadPoolTaskRunner(max_workers=workers)
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise MachineError(
            "the setting task_runner is 'dask', and prefect-dask is not installed",
            action="pip install -c constraints.txt -e '.[dask]', or set FOALNET_TASK_RUNNER=process",
        ) from error
    # No dashboard: it would open another port.
    cluster = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=cluster)
