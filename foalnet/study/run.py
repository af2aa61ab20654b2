"""Trains the runs of a study in one process, scores them, and writes predictions and the board.

A finished run is kept in `work/study` under the digest of what determines its bytes, so that an interrupted study
resumes and a changed one trains the changed runs alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.results import METRICS, PREDICTIONS, write_results
from foalnet.artifact.seal import keyed_rows, read_sealed, sealed_bytes, verified_bytes
from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import Content, content_key, others_below, publish_together
from foalnet.core.locks import lock
from foalnet.core.paths import HEADLINE, Paths, run_name
from foalnet.core.records import Prediction
from foalnet.stages.evaluate.scoring import FoldLogits, score_folds
from foalnet.stages.train.group import Group, Job
from foalnet.study.board import Trained, board
from foalnet.study.network import explanation, network_facts
from foalnet.study.page import page
from foalnet.study.plan import Plan
from foalnet.study.plot import explained_svg
from foalnet.study.search import searched
from foalnet.train.batches import Store
from foalnet.train.environment import at_start, device
from foalnet.train.state import Progress

BOARD = "board.json"
PAGE = "board.md"
# What turns logits into a kept run.
CODE = ("evidence/metrics", "stages/evaluate/scoring", "study/explain", "study/network", "study/run")


def run_study(plan: Plan, settings: Settings, paths: Paths, *, say: Callable[[str], None] = lambda _: None) -> str:
    """Train, score and compare the runs of a study; return the page.

    Writes `reports/<corpus>/studies/<name>/`: board.json, board.md, the predictions of every run, and an SVG for each
    variant that explains itself. A run that fails because of its setting is recorded with the reason, and its variant
    is compared with no other. With the param `search` the variants' settings are searched before. `say` gets a line for
    every run. Interrupted (exit 5) after a stop request; UsageError (2), DataError (3), MachineError (4) as their
    messages say.
    """
    plan, search = searched(plan, settings, paths, say=say)
    runs, failed, files = dict[str, list[Trained]](), dict[str, str](), dict[Path, Content]()
    out = paths.study(plan.name)
    for job, kept in kept_runs(plan, settings, paths, plan.study.seeds, say=say):
        name = run_name(job.run.variant, job.run.seed)
        metrics, rows = _read(kept, _again(plan))
        files |= {out / name / file: partial(shutil.copyfile, kept / file) for file in (PREDICTIONS, METRICS)}
        if "failed" in metrics:
            failed[name] = metrics["failed"]
        else:
            runs.setdefault(job.run.variant, []).append(Trained(seed=job.run.seed, metrics=metrics, rows=rows))
    facts = board(plan, runs, failed) | ({"search": search} if search else {})
    text = page(facts)
    files |= {out / f"{name}.svg": explained_svg(name, runs[name][0].metrics["explain"]) for name in facts["explained"]}
    files |= {out / PAGE: text.encode(), out / BOARD: sealed_bytes(BOARD, facts)}
    belongs = {path.relative_to(out).as_posix() for path in files}
    publish_together(files, marker=out / BOARD, stale=others_below(out, belongs))
    return text


def train_part(
    plan: Plan, settings: Settings, paths: Paths, part: int, parts: int, *, say: Callable[[str], None] = lambda _: None
) -> str:
    """Train and score every run of some of the seeds into the work folder, where `run_study` takes them; say how many.

    Several processes, or machines with a common work folder, so share a study: part 1 to `parts`, each with the seeds
    of its own, since the runs of one seed share encoders. A search must be finished. Errors as `run_study`.
    """
    plan, _ = searched(plan, settings, paths, trains=False)
    done = list(kept_runs(plan, settings, paths, plan.study.seeds[part - 1 :: parts], say=say))
    return f"part {part} of {parts}: {len(done)} runs of study {plan.name} are in {settings.work / 'study'}"


def kept_runs(
    plan: Plan, settings: Settings, paths: Paths, seeds: Sequence[int], *, say: Callable[[str], None]
) -> Iterator[tuple[Job, Path]]:
    """Yield every run of these seeds with the folder of its predictions and metrics; train it if that is not there."""
    group, again = Group.of(plan.params, settings, paths), _again(plan)
    check_classes(group)
    say(f"study {plan.name}: {at_start(settings, plan.params.train)}")
    trains = plan.trains()
    jobs = [group.job(variant, seed, trains[variant], trains) for variant, seed in plan.runs() if seed in seeds]
    sources, made = {single.folder for job in jobs for single in job.singles}, set[Path]()
    for number, job in enumerate(jobs, 1):
        kept, took = settings.work / "study" / _key(job, plan), ""
        # The runs of a seed share encoders: one process at a time trains them.
        with lock(settings.work / "locks" / f"study-{plan.params.corpus}-seed{job.run.seed}"):
            if not _whole(kept, again):
                began_s = time.monotonic()
                made |= {each.folder for each in (job, *job.singles) if not each.folder.exists()}
                # The page shows how the first seed's networks decided.
                _train(group, job, kept, explained=job.run.seed == plan.study.seeds[0])
                took = f", {time.monotonic() - began_s:.0f} s"
                if job.folder in made - sources:
                    shutil.rmtree(job.folder, ignore_errors=True)
        metrics = read_sealed(kept / METRICS, again=again)
        said = f"failed: {metrics['failed']}" if "failed" in metrics else f"UA {100 * metrics['pooled']['ua']:.1f} %"
        say(f"{number} of {len(jobs)}: {run_name(job.run.variant, job.run.seed)}, {said}{took}")
        yield job, kept
    for folder in made & sources:
        shutil.rmtree(folder, ignore_errors=True)


def _again(plan: Plan) -> str:
    return f"study@{plan.name}"


def check_classes(group: Group) -> None:
    """Raise DataError (exit 3) for a manifest that is older than the classes of params.yaml."""
    classes = group.params.manifest.classes
    for u in group.utterances:
        if u.used and u.label not in classes:
            raise DataError(
                f"class '{u.label}' is not among {', '.join(classes)}",
                file=group.paths.manifest,
                utterance=u.key,
                action="run `dvc repro`: the manifest is older than params.yaml",
            )


def _key(job: Job, plan: Plan) -> str:
    """Return the name of a kept run: a digest of its training, and of what scores it."""
    return content_key([job.folder.name, plan.params.evaluate.model_dump(mode="json"), code_digest(CODE)])


def _train(group: Group, job: Job, kept: Path, *, explained: bool) -> None:
    """Train a run and keep its predictions and metrics, or the reason of its failure."""
    group.check(job)
    try:
        progress = group.trained(job)
    except DataError as error:
        write_results(kept, [], {"failed": error.what})
        return
    store, used = group.store(job), {u.key: u for u in group.utterances if u.used}
    folds = [_logits(job, name, one, store) for name, one in progress.items()]
    if not all(np.isfinite(part).all() for fold in folds for part in fold.logits_ENC.values()):
        write_results(kept, [], {"failed": "a logit is not finite"})
        return
    params = group.params
    rows, metrics = score_folds(params, HEADLINE, folds, used, variant=job.run.variant, seed=job.run.seed)
    explain = explanation(job, progress, store, rows, device(group.settings)) if explained else {}
    facts = {"facts": network_facts(job, progress, store), "explain": explain}
    write_results(kept, rows, metrics | facts)


def _read(kept: Path, again: str) -> tuple[dict[str, Any], dict[str, Prediction]]:
    """Return a kept run's metrics, and its prediction for each utterance by key."""
    metrics = read_sealed(kept / METRICS, again=again)
    data = verified_bytes(kept / PREDICTIONS, metrics["predictions"]["sha256"], by=kept / METRICS, again=again)
    return metrics, {row.key: row for row in keyed_rows(Prediction, data, kept / PREDICTIONS, again=again)}


def _whole(folder: Path, again: str) -> bool:
    """Return whether a finished run is in the work cache, undamaged."""
    try:
        metrics = read_sealed(folder / METRICS, again=again)
        verified_bytes(folder / PREDICTIONS, metrics["predictions"]["sha256"], by=folder / METRICS, again=again)
    except (DataError, KeyError):
        return False
    return True


def _logits(job: Job, name: str, progress: Progress, store: Store) -> FoldLogits:
    """Return the stored logits of one fold, as the stage `train` publishes them."""
    import torch

    (fold,) = (fold for fold in job.run.folds if fold.name == name)
    task = job.run.task(fold, store)
    logits: dict[str, np.ndarray] = {
        "dev": torch.stack(progress.dev_NC).numpy(), "test": torch.stack(progress.test_NC).numpy(),
    }  # fmt: skip
    affect_ND = progress.best_affect_NE.numpy() if len(progress.best_affect_NE) else None
    return FoldLogits(name=name, keys={"dev": task.dev, "test": task.test}, logits_ENC=logits, affect_ND=affect_ND)
