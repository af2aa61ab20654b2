"""One dialogue into the work cache, by name: what a flow asks for before `shards` packs what is there."""

from __future__ import annotations

from pathlib import Path

from foalnet.clips.dialogue import stage_dialogue, verified
from foalnet.clips.plan import STAGE, Job, chosen, plan
from foalnet.clips.sides import seated
from foalnet.clips.staging import BYTES_PER_S, prepare, tools_of
from foalnet.config import Params, Settings
from foalnet.config.base import nearest
from foalnet.errors import UsageError
from foalnet.files import need_free
from foalnet.inventory import checked_inventory, need_root
from foalnet.locks import lock
from foalnet.table import read_manifest


def jobs_of(params: Params, settings: Settings, *, inventory: Path, manifest: Path) -> list[Job]:
    """Return the very jobs that `stage` works through, sorted by session and dialogue."""
    utterances = seated(
        read_manifest(manifest, corpus=params.corpus, stage=STAGE), params.shards, params.sides_table
    ).utterances
    files = checked_inventory(inventory, params, stage=STAGE).files
    tools = tools_of(params.shards, settings, chosen(utterances, params.shards.utterances))
    return plan(utterances, files, corpus=params.corpus, reader=params.reader, params=params.shards, tools=tools)


def unstaged(params: Params, settings: Settings, *, inventory: Path, manifest: Path) -> list[str]:
    """Return the dialogues that the work cache does not hold whole, the longest first."""
    todo = [
        job
        for job in jobs_of(params, settings, inventory=inventory, manifest=manifest)
        if verified(job, settings.work) is None
    ]
    return [job.dialogue for job in sorted(todo, key=lambda job: (-job.seconds, job.session, job.dialogue))]


def warm(params: Params, settings: Settings, dialogue: str, *, inventory: Path, manifest: Path) -> bool:
    """Stage one dialogue into the work cache; False where it was there whole already.

    The bytes are those that `stage` makes; whoever comes first does the work. UsageError (exit 2): no such dialogue.
    DataError (exit 3): an input differs from the inventory. MachineError (exit 4): root, weights, disk, or another
    process at work on this very dialogue.
    """
    jobs = {job.dialogue: job for job in jobs_of(params, settings, inventory=inventory, manifest=manifest)}
    job = jobs.get(dialogue)
    if job is None:
        raise UsageError(
            f"no dialogue '{dialogue}' to stage in corpus {params.corpus}; {nearest(dialogue, jobs)}",
            file=manifest,
            stage=STAGE,
            action="name a dialogue of the manifest",
        )
    with lock(settings.work / "locks" / f"clips-{job.key}", stage=STAGE):
        if verified(job, settings.work) is not None:
            return False
        need_free(settings.work, round(2 * BYTES_PER_S * job.seconds), stage=STAGE)
        detector = prepare(params.shards, settings, needs_detector=not job.tables)
        root = need_root(params, settings, stage=STAGE)
        stage_dialogue(
            job,
            root=root,
            work=settings.work,
            detector=detector,
            timeout_s=settings.ffmpeg_timeout_s,
            held_bytes=settings.frames_mib << 20,
        )
    return True
