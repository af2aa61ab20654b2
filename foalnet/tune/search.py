"""Searches every variant with the same space, budget and seed; the score is the mean dev UA over its folds.

The search scores no test session: per fold the labels come from `splits.FoldLabels`, which has none of the test part.
To resume a search, the sampler draws again from the first trial, and results come from the records, so that the search
ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foalnet.config import Params, Settings
from foalnet.config.blocks import Choice, Train
from foalnet.config.space import METHODS, with_values
from foalnet.core.errors import UsageError
from foalnet.core.files import content_key
from foalnet.methods.params import check_method_space, value_of
from foalnet.stages.train.group import Job
from foalnet.train import ranks
from foalnet.tune.bench import Bench, forget, mean_ua, recorded
from foalnet.tune.effect import without_effect
from foalnet.tune.sampler import Sampler

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Searched:
    """The result for one variant: a row per trial, one for the params as they stand, and params without effect."""

    variant: str
    trials: tuple[Row, ...]
    committed: Row
    without_effect: tuple[str, ...]

    @property
    def best(self) -> Row | None:
        """The trial with the best score, the first one of a tie; None if all failed."""
        scored = [row for row in self.trials if row["dev_ua"] is not None]
        return max(scored, key=lambda row: (row["dev_ua"], -row["number"])) if scored else None


def alone(settings: Settings, log: Callable[[str], None]) -> Settings:
    """Return settings for one process, and log if they name more; UsageError (exit 2) below torchrun."""
    if ranks.started():
        raise UsageError(
            "a search runs in one process, and this one was started as one of several",
            action="start it without torchrun (unset WORLD_SIZE)",
        )
    if settings.train_processes > 1:
        log(f"the setting train_processes is {settings.train_processes}: a search trains in one process all the same")
    return settings.model_copy(update={"train_processes": 1})


def outside(params: Params) -> list[str]:
    """Return a line for each param with a value in params.yaml outside its space."""
    lines = []
    for path, dimension in sorted(params.tune.space.items()):
        value = value_of(params.train, path)
        if dimension.choices is not None:
            inside = value in dimension.choices
        else:
            assert dimension.low is not None and dimension.high is not None
            inside = isinstance(value, int | float) and dimension.low <= value <= dimension.high
        if not inside:
            name = path if path.startswith(METHODS) else f"train.{path}"
            lines.append(f"note: {name} is {value} in params.yaml, which its space does not hold (tune.space)")
    return lines


def variants_of(params: Params) -> list[str]:
    """Return the variants to search; UsageError (exit 2) if the space is empty."""
    if not params.tune.space:
        raise UsageError(
            f"tune.space of corpus {params.corpus} is empty: there is nothing to search",
            file="params.yaml",
            action="name params below train with their ranges (docs/method.md)",
        )
    check_method_space(params.tune, params.train, file=f"params.yaml (corpora.{params.corpus})")
    return list(dict.fromkeys(params.tune.variants or params.variants))


def search(bench: Bench, variant: str, *, log: Callable[[str], None]) -> Searched:
    """Return all trials of one variant; train those without a record."""
    params = bench.params
    committed = jobs_of(bench, variant, params.train)
    standing = _scored([(job, bench.reach(job)) for job in committed])
    log(f"{variant} as in params.yaml: {score_text(standing['dev_ua'])}")
    sampler, rows = Sampler(params.tune), list[Row]()
    best: tuple[float, list[Job]] = (-1.0, [])
    for number in range(1, params.tune.trials + 1):
        values = sampler.draw()
        row, jobs = _trial(bench, variant, number, values)
        sampler.record(row["dev_ua"])
        rows.append(row)
        score = -1.0 if row["dev_ua"] is None else row["dev_ua"]
        # The best trial's checkpoints stay: once its setting is in params.yaml, `train` has nothing left to do.
        loser, best = (best[1], (score, jobs)) if score > best[0] else (jobs, best)
        forget(loser, spare=[one.folder for job in (*committed, *best[1]) for one in (job, *job.singles)])
        so_far = f"; best {score_text(best[0])}" if best[1] else ""
        log(f"{variant} trial {number} of {params.tune.trials}: {score_text(row['dev_ua'])}{so_far}")
    space = params.tune.space
    return Searched(
        variant=variant,
        trials=tuple(rows),
        committed=standing | {"params": {path: value_of(params.train, path) for path in sorted(space)}},
        without_effect=tuple(without_effect(variant, space, params.train)),
    )


def jobs_of(bench: Bench, variant: str, train: Train) -> list[Job]:
    """Return the runs of one setting, one for each seed."""
    return [bench.job(variant, seed, train) for seed in bench.params.tune.seeds]


def done_runs(bench: Bench, variant: str) -> int:
    """Return the number of recorded runs of a variant's search, including the params as they stand.

    TPE's draws depend on earlier scores, so trials after the first one without a score are unknown.
    """
    done = sum(recorded(job) is not None for job in jobs_of(bench, variant, bench.params.train))
    sampler = Sampler(bench.params.tune)
    for _ in range(bench.params.tune.trials):
        jobs = jobs_of(bench, variant, with_values(bench.params.train, sampler.draw()))
        runs = [(job, reached) for job in jobs if (reached := recorded(job)) is not None]
        done += len(runs)
        if len(runs) < len(jobs):
            break
        sampler.record(_scored(runs)["dev_ua"])
    return done


def _trial(bench: Bench, variant: str, number: int, values: dict[str, Choice]) -> tuple[Row, list[Job]]:
    """Return one trial's row and its runs; `key` is the digest in `train.json` for the same params."""
    train = with_values(bench.params.train, values)
    jobs = jobs_of(bench, variant, train)
    row = {
        "variant": variant,
        "number": number,
        "drawn": "random" if number <= bench.params.tune.random else "tpe",
        "params": values,
        "key": content_key(train.of(variant).model_dump()),
    }
    return row | _scored([(job, bench.reach(job)) for job in jobs]), jobs


def _scored(runs: list[tuple[Job, dict[str, Any]]]) -> Row:
    """Return state, mean dev UA (None if a run failed), reason, and the folds of every run."""
    reason = next((reached["failed"] for _, reached in runs if "failed" in reached), None)
    return {
        "state": "complete" if reason is None else "failed",
        "reason": reason,
        "dev_ua": mean_ua(reached for _, reached in runs) if reason is None else None,
        "runs": [{"seed": job.run.seed, "folds": reached.get("folds", {})} for job, reached in runs],
    }


def score_text(score: float | None) -> str:
    """Return a score as text."""
    return "failed" if score is None else f"dev UA {100 * score:.1f} %"
