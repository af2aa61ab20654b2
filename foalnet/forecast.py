"""What a long verb would do, before it does it: what is left, how long by what was measured here, how much disk.

Nothing is written, no media is opened. A time is told only where an earlier run on this machine was measured
(`work/runs/`); else it is said to be unknown.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.clips.dialogue import SHARD, kept
from foalnet.clips.plan import Job, chosen
from foalnet.clips.staging import BYTES_PER_S
from foalnet.clips.warm import jobs_of
from foalnet.config import Params, Settings
from foalnet.config.blocks import Split
from foalnet.errors import DataError
from foalnet.files import read_json
from foalnet.inventory import read_inventory
from foalnet.paths import Paths, run_name
from foalnet.table import read_manifest

# 16 kHz, 16 bit, one channel: how long a corpus' sound is, told from its size before a manifest exists.
SOUND_BYTES_PER_S = 32_000
# The work cache, data/ and DVC's cache each hold the shards once.
COPIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a verb would do. `steps`: lines of what is left; times in seconds, disk in bytes, None where not known."""

    verb: str
    steps: tuple[str, ...]
    left: int
    time_s: float | None
    measured: str
    disk_bytes: int | None
    free_bytes: int

    def __str__(self) -> str:
        """Say it for a terminal."""
        time = "not known yet: no run of it was measured on this machine"
        if not self.left:
            time = "seconds: what is done is only packed and published"
        elif self.time_s is not None:
            time = f"about {duration(self.time_s)} ({self.measured})"
        disk = "not known yet" if self.disk_bytes is None else f"up to {size(self.disk_bytes)}"
        lines = [f"{self.verb} would run:", *(f"  {step}" for step in self.steps)]
        return "\n".join(
            [*lines, f"time: {time}", f"disk: {disk}; {size(self.free_bytes)} free", "nothing was written"]
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def duration(seconds: float) -> str:
    """Return a length of time in words: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Return bytes in words: 640 kB, 12.3 MB, 4.5 GB."""
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def free_bytes(folder: Path) -> int:
    """Return the free bytes where `folder` is, or would be made."""
    return shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free


def speech_seconds(params: Params, paths: Paths) -> float | None:
    """Return how long the utterances to stage are together: from the manifest, else from the sizes of the inventory.

    The drawn corpus, not drawn yet, is told from its params. None where nothing is recorded.
    """
    if paths.manifest.is_file():
        rows = chosen(read_manifest(paths.manifest), params.shards.utterances)
        return sum(u.end_s - u.start_s for u in rows)
    if paths.inventory.is_file():
        files = read_inventory(paths.inventory).files
        return sum(entry.size for entry in files if entry.role == "audio") / SOUND_BYTES_PER_S
    if params.corpus == "drawn":
        draw = params.draw
        each = draw.used_per_dialogue + draw.unused_per_dialogue
        return 5 * draw.dialogues_per_session * each * draw.length_max_s
    return None


def planned_jobs(params: Params, settings: Settings, paths: Paths) -> list[Job]:
    """Return the jobs of `shards` as it would plan them (DataError, exit 3, without manifest and inventory)."""
    return jobs_of(params, settings, inventory=paths.inventory, manifest=paths.manifest)


def _is_kept(job: Job, work: Path) -> bool:
    """Tell whether the cache has a dialogue, by its record and the shard's size; its bytes are checked when it runs."""
    found = kept(job, work)
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
    shards = [(job, found.shard) for job in done if (found := kept(job, work)) is not None and found.shard is not None]
    seconds = sum(job.seconds for job, _ in shards)
    per_s = sum(shard.size for _, shard in shards) / seconds if seconds else BYTES_PER_S
    return round(COPIES * per_s * sum(job.seconds for job in todo))


def train_forecast(
    params: Params, settings: Settings, paths: Paths, *, variant: str, seed: int, split: Split = "dev"
) -> Forecast:
    """Return what `foalnet train` would do (DataError, exit 3, without manifest and shards)."""
    from foalnet.nets import tasks_of
    from foalnet.shards import open_shards
    from foalnet.train import plan
    from foalnet.train.run import given_for, state_folder, told_of
    from foalnet.train.speed import reached

    tasks_of(variant)
    utterances = [u for u in read_manifest(paths.manifest, stage="train") if u.used]
    given = given_for(params, settings, paths, open_shards(paths.shards, stage="train"), variant=variant)
    run = plan(params, utterances, variant=variant, seed=seed, split=split, pretrained=given.pretrained)
    told = told_of(params, settings, given)
    folder = state_folder(params, settings, paths, run, told)
    states = {fold.name: reached(folder / f"{fold.name}.safetensors") for fold in run.folds}
    most = params.train.epochs
    steps, left = [], 0
    for name, (epochs, finished) in states.items():
        rest = 0 if finished else most - epochs
        left += rest
        steps.append(f"fold {name}: {epochs} epochs done, " + (f"at most {rest} left" if rest else "finished"))
    per_epoch_s, measured = training_rate(settings, params, variant, device=told["device"])
    return Forecast(
        verb=f"train {params.corpus} {run_name(variant, seed, split)}",
        steps=(f"{len(run.folds)} folds, {len(run.labels)} utterances, device {told['device']}", *steps),
        left=left,
        time_s=None if per_epoch_s is None else left * per_epoch_s,
        measured=measured,
        disk_bytes=training_bytes(paths, variant, len(run.folds)) if left else 0,
        free_bytes=free_bytes(settings.work),
    )


def training_rate(
    settings: Settings,
    params: Params,
    variant: str,
    *,
    device: str,
    noted_as: str | None = None,
    free: Iterable[str] = (),
) -> tuple[float | None, str]:
    """Return seconds per epoch of a fold, where a run with these params was measured on this device.

    `noted_as`: the name that the speed was noted under, where it is not the corpus'. `free`: params below `train` that
    may be others.
    """
    from foalnet.nets import picture_of
    from foalnet.train.speed import speed_file

    asked = params.train.model_copy(update={"picture": picture_of(variant, params.train.picture)})
    unlike = {"epochs", "patience", *free}
    try:
        note = read_json(speed_file(settings, noted_as or params.corpus, variant))
        told = [flat(note["params"]), flat(asked.model_dump(mode="json"))]
        same, wanted = ({k: v for k, v in each.items() if k not in unlike} for each in told)
        if (same, note["device"], note["workers"]) != (wanted, device, settings.workers):
            return None, ""
        per_epoch_s = note["wall_s"] / note["epochs"]
    except (DataError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None, ""
    return per_epoch_s, f"the last run took {per_epoch_s:.2f} s an epoch"


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a tree of params as dotted path -> value."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return found


def training_bytes(paths: Paths, variant: str, folds: int) -> int | None:
    """Return the bytes of states, models and DVC's copy of them, by a published model of the same variant."""
    known = sorted(paths.model(variant, 0).parent.glob(f"{variant}-s*/fold-*.safetensors"))
    if not known:
        return None
    # A state holds weights, best weights and two moments; a model is published once and cached once.
    return folds * (4 + 2) * max(path.stat().st_size for path in known)
