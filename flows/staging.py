"""The flow `stage_corpus`: a task per batch of dialogues fills the work cache, then DVC packs the shards from it.

The verb `shards` does the same by itself on one machine, with the same bytes. The flow shows the progress, retries
failures of the machine, and can distribute the dialogues with Dask.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.alive import alive
from flows.spread import run_verb, spread, verb
from flows.stages import UP_TO_DATE, StageFailed, environment, plan
from flows.tasks import DONE, TASK, project_home, run_logger, run_name, run_stage, run_stages
from foalnet.config import Settings, load_settings

# A batch's process takes about 3 CPU s to start; this much speech keeps it busy ten times as long.
BATCH_S = 300.0
# In a small corpus each worker gets this many batches, so that all workers end at about the same time.
BATCHES_EACH = 2


@task(task_run_name="{name}", **TASK)
def stage_batch(corpus: str, name: str, dialogues: list[str], home: str) -> int:
    """Stage dialogues into the work cache in a separate process; return their number."""
    run_verb(f"shards@{corpus} ({name})", warm_command(corpus, *dialogues), home)
    return len(dialogues)


def warm_command(corpus: str, *dialogues: str) -> list[str]:
    """Return the command that stages dialogues or, without one, lists those to stage."""
    return verb("warm", corpus, *dialogues)


@flow(name="stage_corpus", flow_run_name=run_name)
def stage_corpus(corpus: str = "drawn") -> dict[str, Any]:
    """Stage a corpus in the project folder that FOALNET_HOME names, `workers` batches of dialogues at a time.

    Returns how many dialogues were staged now and whether the shards were packed again. Every dialogue is tried before
    the first failure is raised; finished dialogues stay in the cache.
    """
    home = project_home()
    settings = load_settings(home)
    with alive(settings.silence_s):
        return _bring(home, corpus, settings)


def _bring(home: Path, corpus: str, settings: Settings) -> dict[str, Any]:
    """Do the work of `stage_corpus`."""
    shards = f"shards@{corpus}"
    stages = {stage.name: stage for stage in plan(home, corpus)}
    before = [stage for stage in stages.values() if stage.name in _needed(stages, shards)]
    run_stages(before, home, settings=settings.model_copy(update={"slots": 1}), also=[shards])
    done = DONE.get()
    if done is not None and done.has(shards):
        run_logger().info(UP_TO_DATE, shards)
        return {"corpus": corpus, "staged": 0, "packed": False}
    todo = dialogues(home, corpus)
    run_logger().info("corpus %s: %d dialogues to stage", corpus, len(todo))
    if todo:
        _stage_all(corpus, batches(todo, settings.workers), home, settings)
    return {"corpus": corpus, "staged": len(todo), "packed": run_stage(shards, str(home))["ran"]}


def _needed(stages: dict[str, Any], name: str) -> set[str]:
    names: set[str] = set()
    todo = list(stages[name].needs)
    while todo:
        names.add(each := todo.pop())
        todo += stages[each].needs
    return names


def dialogues(home: Path, corpus: str) -> dict[str, float]:
    """Return the dialogues that the work cache lacks, with their seconds of speech, the longest first.

    Raises StageFailed with the verb's exit code.
    """
    done = subprocess.run(
        warm_command(corpus), cwd=home, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        raise StageFailed(f"shards@{corpus}", code, done.stderr[-2000:])
    return {name: float(seconds) for name, seconds in (line.split() for line in done.stdout.splitlines())}


def batches(todo: Mapping[str, float], workers: int) -> list[list[str]]:
    """Split dialogues (name -> seconds, the longest first) into batches of BATCH_S, or less so that no worker idles."""
    full_s = min(BATCH_S, sum(todo.values()) / (BATCHES_EACH * workers))
    dealt: list[list[str]] = []
    held_s = full_s
    for name, seconds in todo.items():
        if held_s >= full_s:
            dealt.append([])
            held_s = 0.0
        dealt[-1].append(name)
        held_s += seconds
    return dealt


def _stage_all(corpus: str, todo: Sequence[list[str]], home: Path, settings: Settings) -> None:
    """Run a task per batch and show the progress."""
    total, count = sum(map(len, todo)), 0
    shown = create_progress_artifact(0.0, key=f"staging-{corpus.replace('_', '-')}", description=f"staging {corpus}")

    def ended(place: int) -> None:
        nonlocal count
        count += len(todo[place])
        says = f"staging {corpus}: {count} of {total} dialogues"
        update_progress_artifact(cast(UUID, shown), 100.0 * count / total, says)

    each = [{"corpus": corpus, "name": _name(names), "dialogues": names, "home": str(home)} for names in todo]
    spread(stage_batch, each, settings=settings, at_once=settings.workers, done=ended)


def _name(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "")
