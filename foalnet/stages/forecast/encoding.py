"""What `foalnet features` would do: the dialogues that the work cache holds no vectors of."""

from __future__ import annotations

from collections.abc import Sequence

from foalnet.artifact.speeds import read_speed
from foalnet.config import Params, Settings
from foalnet.core.paths import Paths
from foalnet.shards import ShardEntry
from foalnet.stages.features import Work, speed_facts, work_of
from foalnet.stages.forecast.base import COPIES, Forecast, free_bytes, size, speech_seconds

# No corpus with a reader is filmed faster.
PICTURES_PER_S = 30
FLOAT_BYTES = 4


def features_forecast(params: Params, settings: Settings, paths: Paths) -> Forecast:
    """Return what `foalnet features` would do; without an encoder in params that is nothing.

    DataError (exit 3) without shards, MachineError (exit 4) where the encoder's weights are not ready here.
    """
    work = work_of(params, settings, paths.shards)
    verb, free = f"features {params.corpus}", free_bytes(settings.work)
    if work is None:
        steps: tuple[str, ...] = ("no encoder in params (features.encoder): nothing to compute",)
        return Forecast(verb=verb, steps=steps, left=0, time_s=None, measured="", disk_bytes=0, free_bytes=free)
    entries = work.shards.entries
    todo = [entry for entry in entries if not work.done(entry)]
    todo_bytes = sum(entry.size for entry in todo)
    workers = max(1, min(work.workers, len(todo)))
    steps = (
        f"{len(entries)} dialogues, {sum(entry.count for entry in entries)} utterances, "
        f"encoder {work.pretrained.name}, device {work.kind}",
        f"{len(entries) - len(todo)} of them from the work cache",
        f"{len(todo)} to encode" + (f": {size(todo_bytes)} of shards, workers: {workers}" if todo else ""),
    )
    per_byte = _rate(work, settings, params.corpus)
    return Forecast(
        verb=verb,
        steps=steps,
        left=len(todo),
        time_s=None if per_byte is None else todo_bytes * per_byte / workers,
        measured="" if per_byte is None else f"the last run took {1e6 * per_byte:.2f} s of a worker per MB of shards",
        disk_bytes=_vectors_bytes(work, todo, speech_seconds(params, paths)),
        free_bytes=free,
    )


def _rate(work: Work, settings: Settings, corpus: str) -> float | None:
    """Return seconds of a worker per byte of shards, where a run that asked the same was measured on this device."""
    note, facts = read_speed(settings, f"features-{corpus}"), speed_facts(work, [])
    try:
        if any(note[name] != facts[name] for name in ("asked", "device", "packages")):
            return None
        return float(note["wall_s"] * note["workers"] / note["shard_bytes"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def _vectors_bytes(work: Work, todo: Sequence[ShardEntry], speech_s: float | None) -> int | None:
    """Return the bytes of vectors to come, in all their copies: by the finished ones, without any by the corpus."""
    kept = [entry for entry in work.shards.entries if entry not in todo]
    if kept or not todo:
        per_byte = sum(work.place(entry).stat().st_size for entry in kept) / max(1, sum(entry.size for entry in kept))
        return round(COPIES * per_byte * sum(entry.size for entry in todo))
    dims = work.pretrained.config.get("projection_dim")
    if speech_s is None or not isinstance(dims, int):
        return None
    return round(COPIES * speech_s * PICTURES_PER_S / work.params.frame_step * dims * FLOAT_BYTES)
