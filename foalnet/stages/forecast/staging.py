"""What `foalnet shards` would do: the dialogues that the work cache does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foalnet.clips.dialogue import SHARD, cached
from foalnet.clips.plan import Job
from foalnet.config import Params, Settings
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.core.progress import duration
from foalnet.stages.forecast.base import COPIES, Forecast, free_bytes
from foalnet.stages.shards import BYTES_PER_S
from foalnet.stages.warm import jobs_of


def planned_jobs(params: Params, settings: Settings, paths: Paths) -> list[Job]:
    """Return the jobs of `shards` as it would plan them (DataError, exit 3, without manifest and inventory)."""
    return jobs_of(params, settings, inventory=paths.inventory, manifest=paths.manifest)


def _is_kept(job: Job, work: Path) -> bool:
    """Tell whether the cache has a dialogue, by its record and the shard's size; its bytes are checked when it runs."""
    found = cached(job, work)
    if found is None or found.shard is None:
        return found is not None
    path = job.folder(work) / SHARD
    return path.is_file() and path.stat().st_size == found.shard.size


def shards_forecast(params: Params, settings: Settings, paths: Paths) -> Forecast:
    """Return what `foalnet shards` would do (DataError, exit 3, without manifest and inventory)."""
    jobs = planned_jobs(params, settings, paths)
    todo = [job for job in jobs if not _is_kept(job, settings.work)]
    todo_s = sum(job.seconds for job in todo)
    workers = max(1, min(settings.workers, len(todo)))
    steps = (
        f"{len(jobs)} dialogues, {sum(len(job.utterances) for job in jobs)} utterances",
        f"{len(jobs) - len(todo)} of them from the work cache",
        f"{len(todo)} to stage" + (f": {duration(todo_s)} of utterances, workers: {workers}" if todo else ""),
    )
    rate, measured = _staging_rate(settings, params.corpus)
    return Forecast(
        verb=f"shards {params.corpus}",
        steps=steps,
        left=len(todo),
        time_s=None if rate is None else todo_s * rate / workers,
        measured=measured,
        disk_bytes=_staging_bytes(jobs, todo, settings.work),
        free_bytes=free_bytes(settings.work),
    )


def _staging_rate(settings: Settings, corpus: str) -> tuple[float | None, str]:
    """Return seconds of work per second of utterance, as the last run that staged something measured it."""
    try:
        speeds = read_json(settings.work / "runs" / f"shards-{corpus}.json")
        worked_s, seconds = sum(speeds["dialogues"].values()), speeds["utterance_seconds"]
        return worked_s / seconds, f"the last run took {worked_s / seconds:.2f} s of a worker per second of utterance"
    except (DataError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None, ""


def _staging_bytes(jobs: Sequence[Job], todo: Sequence[Job], work: Path) -> int:
    """Return the bytes that shards to come need, in all their copies: by the finished ones, without any amply."""
    done = [job for job in jobs if job not in todo]
    shards = [
        (job, found.shard) for job in done if (found := cached(job, work)) is not None and found.shard is not None
    ]
    seconds = sum(job.seconds for job, _ in shards)
    per_s = sum(shard.size for _, shard in shards) / seconds if seconds else BYTES_PER_S
    return round(COPIES * per_s * sum(job.seconds for job in todo))
