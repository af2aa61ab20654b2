"""The flow `study`: a task per part of a study's seeds trains runs into the work folder, then DVC runs the stage.

The stage `study@NAME` takes these runs and writes the board, so that the flow leaves the bytes and the dvc.lock of
`dvc repro study@NAME`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from prefect import flow, task

from flows import artifacts
from flows.alive import alive
from flows.gpu import gpu_slot, make_slot
from flows.spread import run_verb, spread, verb
from flows.stages import UP_TO_DATE, plan
from flows.tasks import DONE, TASK, params_digest, project_home, run_logger, run_name, run_stage, run_stages, stop_event
from foalnet.config import Settings, load_settings
from foalnet.config.base import nearest
from foalnet.config.load import DEFAULT_PARAMS, read_file
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths


@task(task_run_name="study {name}, part {part} of {parts}", **TASK)
def study_part(name: str, part: int, parts: int, home: str) -> None:
    """Train the runs of one part of the seeds."""
    _train(f"study@{name} (part {part} of {parts})", home, name, "--part", f"{part}/{parts}")


@task(task_run_name="search of study {name}", **TASK)
def study_search(name: str, home: str) -> None:
    """Search the settings that the parts of a study take."""
    _train(f"study@{name} (search)", home, name, "--search")


def _train(stage: str, home: str, *arguments: str) -> None:
    """Run the verb `study` in a separate process; on a GPU with a slot."""
    on_gpu = load_settings(Path(home)).device.startswith("cuda")
    with gpu_slot(stop_event()) if on_gpu else contextlib.nullcontext():
        run_verb(stage, verb("study", *arguments), home)


@flow(name="study", flow_run_name=run_name)
def study(name: str, corpus: str = "drawn", parts: int = 1) -> dict[str, Any]:
    """Train the study `name` of `corpus` in `parts` parts, `slots` at a time, and show its board.

    It works in the project folder that FOALNET_HOME names, and first brings what the study reads up to date. Returns
    whether the study was not up to date, and the path of its board. Every part is tried before the first failure is
    raised; finished runs stay in the work folder.
    """
    home = project_home()
    settings = load_settings(home)
    check(home, name, corpus, parts)
    with alive(settings.silence_s):
        ran = _bring(home, name, corpus, parts, settings)
        board = Paths(corpus, home).study(name) / "board.md"
        what = f"study {name}, params {params_digest(corpus, home)}"
        artifacts.show("study", corpus, board.read_text("utf-8"), what)
    return {"corpus": corpus, "study": name, "ran": ran, "board": board.relative_to(home).as_posix()}


def check(home: Path, name: str, corpus: str, parts: int) -> None:
    """Raise UsageError (exit 2) unless the corpus has this study, with a seed for each part."""
    path = home / DEFAULT_PARAMS
    studies = {key: one for key, one in read_file(path).studies.items() if one.corpus == corpus}
    if name not in studies:
        hint = nearest(name, studies) if studies else "params.yaml has none"
        raise UsageError(f"no study '{name}' of corpus {corpus}; {hint}", file=path, action="see docs/study.md")
    seeds = len(studies[name].seeds)
    if not 1 <= parts <= seeds:
        raise UsageError(
            f"parts: {parts}, and study {name} has {seeds} seeds, each trained by one part",
            file=path,
            action=f"give a number from 1 to {seeds}",
        )


def _bring(home: Path, name: str, corpus: str, parts: int, settings: Settings) -> bool:
    """Bring the study's stage up to date; return whether it ran."""
    *before, last = plan(home, corpus, end=f"study@{name}")
    run_stages(before, home, settings=settings.model_copy(update={"slots": 1}), also=[last.name])
    done = DONE.get()
    if done is not None and done.has(last.name):
        run_logger().info(UP_TO_DATE, last.name)
        return False
    if settings.device.startswith("cuda"):
        make_slot()
    if read_file(home / DEFAULT_PARAMS).studies[name].search:
        study_search(name, str(home))
    each = [{"name": name, "part": part, "parts": parts, "home": str(home)} for part in range(1, parts + 1)]
    spread(study_part, each, settings=settings, at_once=settings.slots)
    return bool(run_stage(last.name, str(home))["ran"])
