"""Gives every variant of a study the same search: equal points, scored on dev parts, the best one for the study.

Point 1 is the params as they stand; the others are a Latin hypercube over SPACE, drawn from the first seed. The runs of
that seed are trained on the first folds, and their dev UA is kept in `work/study-search`, so that a search resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Settings
from foalnet.config.blocks import Choice
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import content_key
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.evidence.metrics import rounded
from foalnet.stages.train.group import Group, Job
from foalnet.stages.train.training import train_folds
from foalnet.study.plan import Plan
from foalnet.train.batches import derived_seed

# Param -> lowest and highest value; of the learning rate as factors of the study's own.
SPACE = {"lr": (0.1, 10.0), "weight_decay": (1e-4, 1e-1), "head_dropout": (0.0, 0.5)}
LINEAR = {"head_dropout"}
DIGITS = 2

Point = dict[str, float]
Say = Callable[[str], None]


def points(count: int, seed: int, lr: float) -> list[Point]:
    """Return the points of a search, param -> value; the first one, the params as they stand, names none.

    Of n drawn points each is in another n-th of every param's range.

    >>> [sorted(point) for point in points(2, seed=1, lr=0.01)]
    [[], ['head_dropout', 'lr', 'weight_decay']]
    """
    generator, drawn = np.random.Generator(np.random.PCG64(derived_seed("study-search", seed))), max(0, count - 1)
    columns = {name: (generator.permutation(drawn) + generator.random(drawn)) / max(1, drawn) for name in SPACE}
    return [{}, *({name: _value(name, float(at[n]), lr) for name, at in columns.items()} for n in range(drawn))][:count]


def _value(name: str, share: float, lr: float) -> float:
    low, high = SPACE[name]
    value = low + share * (high - low) if name in LINEAR else low * (high / low) ** share
    return float(f"{lr * value if name == 'lr' else value:.{DIGITS}g}")


def settings_of(plan: Plan, variant: str, point: Point) -> dict[str, Choice]:
    """Return a point as a variant's settings: params below `train`."""
    method = plan.params.train.variant(variant).method
    own = {"head_dropout": f"methods.{method}.head_dropout"}
    return {own.get(name, name): value for name, value in point.items()}


def searched(
    plan: Plan, settings: Settings, paths: Paths, *, say: Say = lambda _: None, trains: bool = True
) -> tuple[Plan, dict[str, Any]]:
    """Return the plan with each variant's chosen point, and what board.json says of the search; {} without one.

    Variants of one modality come first: with `encoders: single` the others take their encoders with the chosen points.
    UsageError (exit 2) if a point has no score and `trains` is off; Interrupted (exit 5) after a stop request.
    """
    study, seed = plan.study, plan.study.seeds[0]
    if not study.search:
        return plan, {}
    bench, made = Group.of(plan.params, settings, paths), set[Path]()
    grid = points(study.search, seed, plan.params.train.lr)
    scores, chosen = dict[str, list[float | None]](), dict[str, int]()
    for variant in sorted(study.variants, key=lambda name: len(plan.params.train.variant(name).inputs) > 1):
        scores[variant] = []
        for number, point in enumerate(grid, 1):
            tried = plan.with_settings(variant, settings_of(plan, variant, point)).trains()
            job = bench.job(variant, seed, tried[variant], tried)
            scores[variant].append(_score(bench, job, plan, made, trains=trains))
            say(f"search: {variant} point {number} of {len(grid)}: {score_text(scores[variant][-1])}")
        best = max(range(len(grid)), key=lambda place: (scores[variant][place] or 0.0, -place))
        chosen[variant] = best + 1
        plan = plan.with_settings(variant, settings_of(plan, variant, grid[best]))
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)
    folds = min(study.search_folds, len(job.run.folds))
    return plan, {"seed": seed, "folds": folds, "points": grid, "dev_ua": scores, "chosen": chosen}


def score_text(score: float | None) -> str:
    """Return a dev UA as text.

    >>> score_text(0.8125), score_text(None)
    ('dev UA 81.2 %', 'failed')
    """
    return "failed" if score is None else f"dev UA {100 * score:.1f} %"


def _score(bench: Group, job: Job, plan: Plan, made: set[Path], *, trains: bool) -> float | None:
    """Return the mean dev UA of a run's first folds, None if it failed; train it if it has no record."""
    folds, settings = plan.study.search_folds, bench.settings
    record = settings.work / "study-search" / f"{content_key([job.folder.name, folds])}.json"
    if (reached := _recorded(record)) is None:
        if not trains:
            raise UsageError(
                f"the search of study {plan.name} is not finished, and its parts train what it chooses",
                action=f"run `foalnet study {plan.name} --search` first",
            )
        # The lock of the seed's own runs: they have the same checkpoints.
        with lock(settings.work / "locks" / f"study-{plan.params.corpus}-seed{job.run.seed}"):
            made |= {each.folder for each in (job, *job.singles) if not each.folder.exists()}
            reached = _trained(bench, job, folds)
        publish_sealed(record, reached)
    if job.folder in made:
        # A chosen encoder's is trained again where a fusion reads it.
        shutil.rmtree(job.folder, ignore_errors=True)
    score: float | None = reached["dev_ua"]
    return score


def _recorded(record: Path) -> dict[str, Any] | None:
    """Return what a record says; None where it is absent or damaged."""
    try:
        return read_sealed(record, again="study")
    except DataError:
        return None


def _trained(bench: Group, job: Job, folds: int) -> dict[str, Any]:
    """Train the first folds of a run, and before them those of its encoders' runs; return the dev UA or a reason."""
    bench.check(job)
    try:
        for each in (*job.singles, job):
            run = replace(each.run, folds=each.run.folds[:folds])
            progress = train_folds(run, bench.store(each), bench.settings, each.folder)
    except DataError as error:
        return {"dev_ua": None, "failed": error.what}
    return {"dev_ua": rounded(float(np.mean([fold.best_ua for fold in progress.values()])))}
