"""The flow `train_and_evaluate`: one task per variant and seed, one GPU slot each, on shards that are there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.stages import RETRIES, Stage, plan, reproduce
from flows.tasks import ENV, RETRY_DELAYS_S, STOP, project_home, retry_condition, run_logger, run_stages
from foalnet.config import load_settings

GPU_SLOT = "foalnet-gpu"
"""A global concurrency limit of the server; `prefect gcl update foalnet-gpu --limit 2` where there are two GPUs."""


@task(
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=retry_condition,
)
def run_one(stage: str, home: str) -> dict[str, Any]:
    """Train one run and evaluate it; `stage` is its train stage. The GPU is held for the training alone."""
    logger, name = run_logger(), stage.partition("@")[2]
    with gpu_slot(load_settings(Path(home)).device):
        trained = reproduce(stage, Path(home), on_line=logger.info, stop=STOP.get(), env=ENV.get())
    evaluated = reproduce(f"evaluate@{name}", Path(home), on_line=logger.info, stop=STOP.get(), env=ENV.get())
    return {"stage": stage, "ran": trained or evaluated}


@flow(name="train_and_evaluate")
def train_and_evaluate(corpus: str = "drawn") -> dict[str, Any]:
    """Train and evaluate every run of `corpus` in the project folder that FOALNET_HOME names, `slots` at a time.

    Returns which runs were not up to date. A run that fails does not hold up the others.
    """
    home = project_home()
    settings = load_settings(home)
    runs = [Stage(name=stage.name, needs=()) for stage in plan(home, corpus) if stage.name.startswith("train@")]
    if settings.device.startswith("cuda"):
        make_slot()
    done = run_stages(runs, home, slots=settings.slots, runner_task=run_one)
    return {"corpus": corpus, "ran": [each["stage"] for each in done if each["ran"]]}


@contextlib.contextmanager
def gpu_slot(device: str) -> Iterator[None]:
    """Hold one GPU slot of the server where runs are trained on a GPU; after a kill it is free when its lease ends."""
    if not device.startswith("cuda"):
        yield
        return
    # strict: a slot that nobody defined is an error, not an unlimited one
    with concurrency(GPU_SLOT, strict=True):
        yield


def make_slot(limit: int = 1) -> None:
    """Define the slot on the server where nobody has; a limit that a person set is left alone."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_SLOT)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_SLOT, limit=limit))
