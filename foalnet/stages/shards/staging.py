"""Stages all dialogues of a corpus: works through those that the cache lacks, publishes shards and account."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foalnet import media
from foalnet.artifact.provenance import code_digest, versions
from foalnet.artifact.seal import publish_sealed, sealed_bytes
from foalnet.artifact.table import read_manifest
from foalnet.clips.dialogue import Staged, cached, stage_dialogue, verified
from foalnet.clips.failures import note_failures
from foalnet.clips.plan import STAGE, Job, chosen, plan, text_alone
from foalnet.clips.pool import Pool
from foalnet.clips.sides import AssignedSides, assign_sides
from foalnet.config import Params, Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, FoalnetError
from foalnet.core.files import json_bytes, need_free, publish_bytes
from foalnet.core.progress import counted
from foalnet.core.records import Utterance
from foalnet.core.temporaries import remove_temporaries
from foalnet.corpora import reader_of
from foalnet.corpora.inventory import FileEntry, checked_inventory, need_root
from foalnet.faces import Detector, get_detector
from foalnet.stages.shards.account import staging_report
from foalnet.stages.shards.publish import publish_shards

# The modules that shape a shard's bytes, and the packages that they call.
CODE = (
    "clips/bars",
    "clips/candidates",
    "clips/dialogue",
    "clips/listener",
    "clips/pictures",
    "clips/samples",
    "clips/sides",
    "clips/slots",
    "clips/sound",
    "clips/spool",
    "corpora/tables",
    "faces",
    "core/files",
    "core/shim",
    "media",
    "shards/format",
    "shards/write",
)
PACKAGES = (
    "av",
    "face-alignment",
    "imageio-ffmpeg",
    "numpy",
    "opencv-python",
    "soundfile",
    "torch",
    "torchaudio",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSummary:
    """Counts of one run of the stage; prints as one line."""

    dialogues: int
    staged_now: int
    utterances: int
    dropped: int
    shards: int
    report: Path

    def __str__(self) -> str:
        """Return the line for a terminal."""
        cached = self.dialogues - self.staged_now
        return (
            f"{self.dialogues} dialogues ({self.staged_now} staged now, {cached} from the work cache), "
            f"{self.utterances} utterances in {self.shards} shards, {self.dropped} dropped; see {self.report}"
        )


def stage(
    params: Params,
    settings: Settings,
    *,
    root: Path | None,
    inventory: Path,
    manifest: Path,
    out: Path,
    report: Path,
) -> StageSummary:
    """Publish `out`/<session>/NNNNNN.tar, the account `report` and, last, index.json; the bytes repeat.

    Only dialogues that the work cache does not hold whole are staged; `root` (None: not on this machine) is needed for
    those alone. DataError (exit 3): bad inputs, or more than `max_drop_fraction` of the utterances dropped, after the
    account is written. MachineError (exit 4): root, weights or disk. Interrupted (exit 5) after Ctrl-C: the next run
    resumes.
    """
    given = assign_sides(read_manifest(manifest, corpus=params.corpus), params.shards, params.sides_table)
    utterances = given.utterances
    listed = checked_inventory(inventory, params)
    tools = tools_of(params.shards, settings, chosen(utterances, params.shards.utterances))
    jobs = planned(given, listed.files, params, tools)
    for folder in (settings.work, report.parent):
        remove_temporaries(folder)
    todo = [job for job in jobs if verified(job, settings.work) is None]
    if todo:
        need_free(settings.work, 2 * sum(job.size for job in todo))
        _fan_out(todo, root or need_root(params, settings), settings, params)
    staged = [_kept(job, settings.work) for job in jobs]
    reader = reader_of(params)
    account = staging_report(
        staged,
        corpus=params.corpus,
        params=params.shards,
        tools=tools,
        side_rule=reader.side_rule,
        licence=listed.facts.licence or reader.licence,
        drawn=listed.facts.drawn,
        moved=given.moved & {job.dialogue for job in jobs},
        not_staged=len(utterances) - sum(len(job.utterances) for job in jobs),
    )
    _refuse_losses(account, params.shards.max_drop_fraction, report)
    account_data = sealed_bytes(report.name, account)
    entries = publish_shards(staged, params.corpus, settings.work, out, report=report, account=account_data)
    return StageSummary(
        dialogues=len(jobs),
        staged_now=len(todo),
        utterances=account["utterances"]["staged"],
        dropped=account["utterances"]["dropped"],
        shards=len(entries),
        report=report,
    )


def planned(given: AssignedSides, files: Sequence[FileEntry], params: Params, tools: dict[str, Any]) -> list[Job]:
    """Return the jobs of a corpus, sorted by session and dialogue (DataError, exit 3, if there is none)."""
    return plan(
        given.utterances,
        files,
        corpus=params.corpus,
        reader=params.reader,
        params=params.shards,
        tools=tools,
        points=given.points,
    )


def tools_of(params: Shards, settings: Settings, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Return the digests of what shapes shards besides their inputs: code, packages, decoder, detector and weights.

    A corpus without pictures to decode (tables of features, text alone) needs neither decoder nor detector: None.
    """
    every_version = versions()
    tools: dict[str, Any] = {
        "code": code_digest(CODE),
        "packages": {name: every_version[name] for name in PACKAGES},
        "ffmpeg": None,
        "detector": None,
    }
    if any(u.audio and not u.audio.lower().endswith((".wav", ".flac")) for u in utterances):
        tools["ffmpeg"] = media.ffmpeg_digest()
    if not (by_tables(utterances) or text_alone(utterances)):
        detector = get_detector(params, settings)
        made_by = {"name": detector.name, "digest": detector.digest(), "weights": detector.weights()}
        tools |= {"ffmpeg": media.ffmpeg_digest(), "detector": made_by}
    return tools


def by_tables(utterances: Sequence[Utterance]) -> bool:
    """Return whether the corpus' pictures are rows of feature tables."""
    return any(u.features is not None for u in utterances)


def _fan_out(jobs: Sequence[Job], root: Path, settings: Settings, params: Params) -> None:
    """Stage the jobs on worker processes, longest first, and note the speeds in the work folder."""
    ordered = sorted(jobs, key=lambda job: (-job.seconds, job.session, job.dialogue))
    workers = min(settings.workers, len(jobs))
    began = time.monotonic()
    with counted(STAGE, len(jobs), "dialogues") as one_more:
        pool: Pool[Job] = Pool(
            setup=functools.partial(prepare, params.shards, settings, needs_detector=jobs[0].has_pictures),
            work=functools.partial(_work, root=root, settings=settings),
            name=lambda job: f"dialogue {job.dialogue}",
            workers=workers,
            done=lambda _: one_more(),
        )
        failed = settings.work / "runs" / f"shards-{params.corpus}-failed.json"
        try:
            times_s = pool.run(ordered)
        except FoalnetError as error:
            error.what += f"\n  why, of each: {failed}" if len(pool.errors) > 1 else ""
            raise
        finally:
            note_failures(pool.errors, ordered, failed)
    wall_s = time.monotonic() - began
    speeds = {
        "dialogues": {job.dialogue: round(t, 3) for job, t in zip(ordered, times_s, strict=True)},
        "utterance_seconds": round(sum(job.seconds for job in jobs), 1),
        "wall_s": round(wall_s, 3),
        "workers": workers,
    }
    publish_bytes(settings.work / "runs" / f"shards-{params.corpus}.json", json_bytes(speeds))


def prepare(params: Shards, settings: Settings, *, needs_detector: bool) -> Detector | None:
    """Build a worker's detector; one thread each, since there is a worker per core."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if not needs_detector:
        return None
    import cv2

    # By default OpenCV uses all cores for each picture; workers would then wait for each other.
    cv2.setNumThreads(1)
    return get_detector(params, settings)


def _work(detector: Detector | None, job: Job, *, root: Path, settings: Settings) -> float:
    """Stage one dialogue and return the seconds it took; the result itself is in the work cache."""
    began = time.monotonic()
    work = settings.work
    if cached(job, work) is None:
        # Other programs write to this disk too: check before the decoding, not after it.
        need_free(work, 2 * job.size)
    stage_dialogue(
        job,
        root=root,
        work=work,
        detector=detector,
        timeout_s=settings.ffmpeg_timeout_s,
        held_bytes=settings.frames_mib << 20,
    )
    return time.monotonic() - began


def _kept(job: Job, work: Path) -> Staged:
    staged = cached(job, work)
    if staged is None:
        raise DataError(
            f"the finished dialogue {job.dialogue} vanished from the work cache",
            file=job.folder(work),
            action="run the same command again, and let nothing empty the work folder meanwhile",
        )
    return staged


def _refuse_losses(account: dict[str, Any], max_fraction: float, report: Path) -> None:
    dropped, staged = account["utterances"]["dropped"], account["utterances"]["staged"]
    if staged and dropped <= max_fraction * (dropped + staged):
        return
    publish_sealed(report, account)
    reasons = {k: v for k, v in account["ledger"]["counts"].items() if k.startswith("dropped/")}
    counts = ", ".join(f"{reason.removeprefix('dropped/')} {count}" for reason, count in sorted(reasons.items()))
    raise DataError(
        f"{dropped} of {dropped + staged} utterances have no usable sound ({counts}); "
        f"shards.max_drop_fraction allows {max_fraction:g}",
        file=report,
        action="complete or mend the files that this account names, or allow more in params.yaml",
    )
