"""Forecasts a search: trials times folds times variants, and the time by speeds measured on this machine."""

from __future__ import annotations

from foalnet.config import Params, Settings
from foalnet.core.paths import Paths
from foalnet.stages.forecast import Forecast, free_bytes
from foalnet.stages.train import training_bytes, training_rate
from foalnet.tune.bench import Bench, speed_name
from foalnet.tune.search import alone, done_runs, jobs_of, outside, variants_of


def tune_forecast(params: Params, settings: Settings, paths: Paths) -> Forecast:
    """Return the forecast of `foalnet tune`; DataError (exit 3) without manifest and shards."""
    search, settings = params.tune, alone(settings, lambda _: None)
    variants, bench = variants_of(params), Bench.of(params, settings, paths)
    dimension = search.space.get("epochs")
    most = (
        params.train.epochs if dimension is None else max(n for n in (dimension.high, *(dimension.choices or ())) if n)
    )
    steps, left, times, disk = [], 0, [], []
    for variant in variants:
        jobs = jobs_of(bench, variant, params.train)
        folds = len(jobs[0].run.folds)
        every = (1 + search.trials) * len(search.seeds)
        rest = every - done_runs(bench, variant)
        left += rest
        steps.append(f"{variant}: {rest} of {every} runs left, {folds} folds each, at most {most} epochs a fold")
        rate = _rate(params, settings, variant, jobs[0].device)
        times.append(None if rate is None else rest * folds * int(most) * rate)
        # The checkpoints of the current trial and of the best one so far.
        size = training_bytes(paths, variant, folds, settings.workers)
        disk.append(None if size is None else 2 * len(search.seeds) * size)
    known = [time for time in times if time is not None]
    sizes = [size for size in disk if size is not None]
    return Forecast(
        verb=f"tune {params.corpus}",
        steps=(_plan_line(params, variants), *steps, *outside(params)),
        left=left,
        time_s=sum(known) if len(known) == len(times) else None,
        measured="as an epoch of each variant was last measured",
        disk_bytes=0 if not left else max(sizes) if len(sizes) == len(disk) else None,
        free_bytes=free_bytes(settings.work),
    )


def _plan_line(params: Params, variants: list[str]) -> str:
    search = params.tune
    seeds = f", {len(search.seeds)} seeds each" if len(search.seeds) > 1 else ""
    return (
        f"{len(variants)} variants, {search.trials} trials and the params as they stand{seeds}; "
        f"space of {len(search.space)}: {', '.join(sorted(search.space))}"
    )


def _rate(params: Params, settings: Settings, variant: str, device: str) -> float | None:
    """Return seconds per epoch of a fold, from a measured trial, else from a training with these params."""
    for name in (speed_name(params.corpus), params.corpus):
        rate, _ = training_rate(settings, params, variant, device=device, noted_as=name, free=params.tune.space)
        if rate is not None:
            return rate
    return None
