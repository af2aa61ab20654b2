"""The flow `train_and_evaluate`: one task per variant and seed on existing shards, with a GPU slot each."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.alive import alive
from flows.stages import Stage, plan
from flows.tasks import TASK, bring, project_home, run_name, run_stages
from foalnet.config import load_settings

TRAIN = "train@"


@task(task_run_name="{stage}", **TASK)
def run_one(stage: str, home: str) -> dict[str, Any]:
    """Train one run and evaluate it; `stage` is its train stage. The GPU slot is held for the training only.

    The stage `features`, which all runs read, is not evaluated.
    """
    trained = bring(stage, home)
    if not stage.startswith(TRAIN):
        return {"stage": stage, "ran": trained}
    evaluated = bring(_evaluation(stage), home)
    return {"stage": stage, "ran": trained or evaluated}


def _evaluation(stage: str) -> str:
    return f"evaluate@{stage.partition('@')[2]}"


@flow(name="train_and_evaluate", flow_run_name=run_name)
def train_and_evaluate(corpus: str = "drawn") -> dict[str, Any]:
    """Train and evaluate every run of `corpus` in the project folder that FOALNET_HOME names, `slots` at a time.

    Returns the runs that were not up to date. A run that fails does not hold up the others.
    """
    home = project_home()
    settings = load_settings(home)
    first = f"features@{corpus}"
    with alive(settings.silence_s):
        runs = [Stage(name=first, needs=())]
        trains = [stage for stage in plan(home, corpus) if stage.name.startswith(TRAIN)]
        # A run that reuses the encoders of others waits for them.
        runs += [Stage(name=s.name, needs=(first, *(n for n in s.needs if n.startswith(TRAIN)))) for s in trains]
        also = [_evaluation(stage.name) for stage in trains]
        done = run_stages(runs, home, settings=settings, runner_task=run_one, also=also)
    return {"corpus": corpus, "ran": [each["stage"] for each in done if each["ran"]]}
