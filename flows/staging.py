"""The flow `stage_corpus`: one task per dialogue warms the work cache, then DVC packs what is there.

The verb `shards` would do the same by itself, on this machine. Whoever comes first does the work, the bytes are equal
either way; a flow shows the progress, tries again what the machine caused, and can spread the dialogues over Dask.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.alive import alive
from flows.process import run
from flows.stages import SAID_LINES, StageFailed, environment, plan
from flows.tasks import STOP, TASK, asked_to_stop, project_home, run_logger, run_name, run_stages
from foalnet.config import Settings, load_settings
from foalnet.errors import MachineError


@task(task_run_name="{dialogue}", **TASK)
def stage_dialogue(corpus: str, dialogue: str, home: str) -> str:
    """Stage one dialogue into the work cache, in processes of its own; return its name."""
    said: deque[str] = deque(maxlen=SAID_LINES)
    logger = run_logger()

    def listen(line: str) -> None:
        said.append(line)
        logger.info(line)

    code = run(warm_command(corpus, dialogue), cwd=Path(home), env=environment(), on_line=listen, stop=asked_to_stop())
    if code != 0:
        raise StageFailed(f"shards@{corpus} ({dialogue})", code, "\n".join(said))
    return dialogue


def warm_command(corpus: str, *dialogue: str) -> list[str]:
    """Return the command that stages a dialogue or, without one, lists those to do."""
    return [sys.executable, "-m", "foalnet", "warm", corpus, *dialogue]


@flow(name="stage_corpus", flow_run_name=run_name)
def stage_corpus(corpus: str = "drawn") -> dict[str, Any]:
    """Stage a corpus in the project folder that FOALNET_HOME names, `workers` dialogues at a time.

    Returns how many dialogues were staged now and whether the shards were packed anew. Every dialogue is tried before
    the first failure is raised; what is done stays done.
    """
    home = project_home()
    settings = load_settings(home)
    with alive(settings.silence_s):
        return _bring(home, corpus, settings)


def _bring(home: Path, corpus: str, settings: Settings) -> dict[str, Any]:
    """Do what `stage_corpus` promises."""
    one = settings.model_copy(update={"slots": 1})
    shards = f"shards@{corpus}"
    stages = {stage.name: stage for stage in plan(home, corpus)}
    before = [stage for stage in stages.values() if stage.name in _needed(stages, shards)]
    run_stages(before, home, settings=one)
    todo = dialogues(home, corpus)
    run_logger().info("corpus %s: %d dialogues to stage", corpus, len(todo))
    if todo:
        _stage_all(corpus, todo, home, settings)
    (packed,) = run_stages([stages[shards]], home, settings=one)
    return {"corpus": corpus, "staged": len(todo), "packed": packed["ran"]}


def _needed(stages: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    todo = list(stages[name].needs)
    while todo:
        found.add(each := todo.pop())
        todo += stages[each].needs
    return found


def dialogues(home: Path, corpus: str) -> list[str]:
    """Return the dialogues that the work cache lacks, the longest first (StageFailed with the verb's exit code)."""
    done = subprocess.run(
        warm_command(corpus), cwd=home, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        raise StageFailed(f"shards@{corpus}", code, done.stderr[-2000:])
    return done.stdout.split()


def _stage_all(corpus: str, todo: Sequence[str], home: Path, settings: Settings) -> None:
    """Run a task per dialogue and show how far they are; a cancel ends what runs and starts nothing more."""
    stop = STOP.get() or threading.Event()
    STOP.set(stop)
    shown = create_progress_artifact(0.0, key=f"staging-{corpus.replace('_', '-')}", description=f"staging {corpus}")
    futures: list[Any] = []
    with task_runner(settings, min(settings.workers, len(todo))) as runner:
        try:
            for name in todo:
                parameters = {"corpus": corpus, "dialogue": name, "home": str(home)}
                futures.append(runner.submit(stage_dialogue, parameters=parameters))
            for count, future in enumerate(futures, 1):
                future.wait()
                update_progress_artifact(cast(UUID, shown), 100.0 * count / len(todo))
        except BaseException:
            stop.set()  # before the runner is left: leaving it waits for its threads
            raise
        for future in futures:
            future.result()


def task_runner(settings: Settings, workers: int) -> TaskRunner[Any]:
    """Return what the setting `task_runner` names: threads that each keep a process, or a Dask cluster on loopback.

    MachineError (exit 4) where Dask is asked for and not installed.
    """
    if settings.task_runner == "process":
        return ThreadPoolTaskRunner(max_workers=workers)
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise MachineError(
            "the setting task_runner is 'dask', and prefect-dask is not installed",
            stage="shards",
            action="pip install -c constraints.txt -e '.[dask]', or set FOALNET_TASK_RUNNER=process",
        ) from error
    # No dashboard: it would be a second door.
    cluster = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=cluster)
