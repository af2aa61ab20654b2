"""Stages dialogues by name into the work cache, so that a flow can spread them before `shards` packs them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from foalnet.artifact.table import read_manifest
from foalnet.clips.dialogue import stage_dialogue, verified
from foalnet.clips.plan import Job, chosen
from foalnet.clips.pool import Pool
from foalnet.clips.sides import assign_sides
from foalnet.config import Params, Settings
from foalnet.config.base import nearest
from foalnet.core.errors import FoalnetError, UsageError
from foalnet.core.files import need_free
from foalnet.core.locks import lock
from foalnet.corpora.inventory import checked_inventory, need_root
from foalnet.faces import Detector
from foalnet.stages.shards.staging import planned, prepare, tools_of

Say = Callable[[str, str], None]


def jobs_of(params: Params, settings: Settings, *, inventory: Path, manifest: Path) -> list[Job]:
    """Return the jobs of the stage `shards`, sorted by session and dialogue."""
    given = assign_sides(read_manifest(manifest, corpus=params.corpus), params.shards, params.sides_table)
    files = checked_inventory(inventory, params).files
    tools = tools_of(params.shards, settings, chosen(given.utterances, params.shards.utterances))
    return planned(given, files, params, tools)


def unstaged(params: Params, settings: Settings, *, inventory: Path, manifest: Path) -> dict[str, float]:
    """Return the dialogues that the work cache does not hold whole, with their seconds of speech, the longest first."""
    todo = [
        job
        for job in jobs_of(params, settings, inventory=inventory, manifest=manifest)
        if verified(job, settings.work) is None
    ]
    ordered = sorted(todo, key=lambda job: (-job.seconds, job.session, job.dialogue))
    return {job.dialogue: job.seconds for job in ordered}


def warm(
    params: Params, settings: Settings, dialogues: Sequence[str], *, inventory: Path, manifest: Path, say: Say
) -> None:
    """Stage dialogues into the work cache, one after another; `say` gets the name and the result of each.

    The bytes are those that `stage` makes; whoever comes first does the work. They are staged in a worker process, so
    that one which kills it costs no other, and all are tried before a failure is raised. UsageError (exit 2): no such
    dialogue. DataError (exit 3): an input differs from the inventory. MachineError (exit 4): root, weights, disk, or
    another process at work on a dialogue.
    """
    jobs = {job.dialogue: job for job in jobs_of(params, settings, inventory=inventory, manifest=manifest)}
    for name in dialogues:
        if name not in jobs:
            raise UsageError(
                f"no dialogue '{name}' to stage in corpus {params.corpus}; {nearest(name, jobs)}",
                file=manifest,
                action="name a dialogue of the manifest",
            )
    todo = []
    for name in dict.fromkeys(dialogues):
        if verified(jobs[name], settings.work) is None:
            todo.append(jobs[name])
        else:
            say(name, "was staged already")
    if not todo:
        return
    root = need_root(params, settings)
    pool: Pool[Job] = Pool(
        setup=functools.partial(prepare, params.shards, settings, needs_detector=todo[0].has_pictures),
        work=functools.partial(_warm_one, root=root, settings=settings),
        name=lambda job: f"dialogue {job.dialogue}",
        workers=1,
        done=lambda job: say(job.dialogue, "staged"),
    )
    try:
        pool.run(todo)
    except (FoalnetError, RuntimeError) as raised:
        for position, error in sorted(pool.errors.items()):
            if error is not raised:
                say(todo[position].dialogue, f"failed: {error}")
        raise


def _warm_one(detector: Detector | None, job: Job, *, root: Path, settings: Settings) -> None:
    """Stage one dialogue unless another process has staged it."""
    with lock(settings.work / "locks" / f"clips-{job.key}"):
        if verified(job, settings.work) is not None:
            return
        need_free(settings.work, 2 * job.size)
        stage_dialogue(
            job,
            root=root,
            work=settings.work,
            detector=detector,
            timeout_s=settings.ffmpeg_timeout_s,
            held_bytes=settings.frames_mib << 20,
        )
