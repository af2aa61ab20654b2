"""Stages one dialogue into one shard, cached under a digest of everything that shapes the shard's bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from foalnet import media
from foalnet.artifact.seal import publish_sealed, unseal
from foalnet.clips.candidates import Guide, account_choice
from foalnet.clips.listener import listener_figures, listener_of, with_listeners
from foalnet.clips.pictures import HELD_BYTES, Pictures, cut_pictures, missing_pictures
from foalnet.clips.plan import STAGE, Job
from foalnet.clips.samples import figures_of, picture_sample, samples_of_tables, samples_of_texts
from foalnet.clips.sides import SideDecision, audit_dialogue, overrules, swapped
from foalnet.clips.slots import slots_of
from foalnet.clips.sound import Sound, SoundCutter
from foalnet.clips.spool import Members, Spool
from foalnet.core.errors import DataError
from foalnet.core.files import make_folder, not_read, sha256_file
from foalnet.core.ledger import Ledger
from foalnet.core.records import LedgerEntry, Utterance
from foalnet.faces import Detector
from foalnet.faces.audit import OTHER, Audit
from foalnet.faces.motion import Motion
from foalnet.shards import Sample, ShardEntry, as_entry, fault_of, write_shard

CutPictures = Callable[..., dict[str, Pictures]]
SCHEMA = 2
SHARD = "shard.tar"
ENTRY = "entry.json"
# The two frame rates of an AVI count as equal within this share: 29.97 is often written as 30.
RATE_TOLERANCE = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A finished dialogue: its shard (None if every utterance was dropped), ledger, and figures per utterance.

    `sides`: the audit of the job's sides, and whether staging followed it.
    """

    job: Job
    shard: ShardEntry | None
    ledger: tuple[LedgerEntry, ...]
    utterances: tuple[dict[str, Any], ...]
    sides: SideDecision = field(default_factory=SideDecision)


def cached(job: Job, work: Path) -> Staged | None:
    """Return a job's result from the work cache, None if it is not finished; the shard is not verified."""
    try:
        data = (job.folder(work) / ENTRY).read_bytes()
    except FileNotFoundError:
        return None
    return _from_entry(job, data)


def verified(job: Job, work: Path) -> Staged | None:
    """Return a job's result from the work cache, None if it is not finished or its shard is damaged."""
    staged = cached(job, work)
    if staged is not None and staged.shard is not None and fault_of(job.folder(work) / SHARD, staged.shard) is not None:
        return None
    return staged


def _from_entry(job: Job, data: bytes) -> Staged | None:
    try:
        entry = unseal(data, job.folder(Path()) / ENTRY, again=STAGE)
        if entry["schema"] != SCHEMA or entry["key"] != job.key:
            return None
        return Staged(
            job=job,
            shard=None if entry["shard"] is None else as_entry(entry["shard"]),
            ledger=tuple(LedgerEntry(**row) for row in entry["ledger"]),
            utterances=tuple(entry["utterances"]),
            sides=_sides_from(entry["sides"]),
        )
    except (DataError, ValueError, KeyError, TypeError):
        return None


def _sides_from(row: dict[str, Any]) -> SideDecision:
    return SideDecision(audit=None if row["audit"] is None else Audit(**row["audit"]), followed=row["followed"])


def stage_dialogue(
    job: Job, *, root: Path, work: Path, detector: Detector | None, timeout_s: float, held_bytes: int = HELD_BYTES
) -> Staged:
    """Write one dialogue's shard to the work cache, its entry last; return the cached result if it is intact.

    DataError (exit 3) if an input file differs from the inventory, MachineError (exit 4) if it cannot be read.
    """
    folder = job.folder(work)
    damaged = (folder / ENTRY).exists()
    staged = verified(job, work)
    if staged is not None:
        return staged
    # An entry that appears only now is the finished work of another process, with the same bytes.
    if damaged:
        (folder / ENTRY).unlink(missing_ok=True)
    check_inputs(job, root)
    ledger = Ledger()
    make_folder(folder)
    samples, rows, sides = stage_samples(
        job,
        root=root,
        detector=detector,
        timeout_s=timeout_s,
        ledger=ledger,
        spool=Spool(folder),
        held_bytes=held_bytes,
    )
    shard = write_shard(folder / SHARD, samples, session=job.session, group=job.dialogue) if samples else None
    publish_sealed(folder / ENTRY, _entry(job, shard, ledger, rows, sides))
    return Staged(job=job, shard=shard, ledger=tuple(ledger.entries), utterances=tuple(rows), sides=sides)


def _entry(
    job: Job, shard: ShardEntry | None, ledger: Ledger, rows: list[dict[str, Any]], sides: SideDecision
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": job.key,
        "session": job.session,
        "dialogue": job.dialogue,
        "shard": None if shard is None else asdict(shard),
        "ledger": [asdict(line) for line in ledger.entries],
        "utterances": rows,
        "sides": asdict(sides),
    }


def stage_samples(
    job: Job,
    *,
    root: Path,
    detector: Detector | None,
    timeout_s: float,
    ledger: Ledger,
    check_sides: bool = True,
    spool: Spool | None = None,
    held_bytes: int = HELD_BYTES,
) -> tuple[list[Sample], list[dict[str, Any]], SideDecision]:
    """Return the samples of a job's utterances that have sound, figures of each, and the decision about their sides.

    Writes nothing to disk but the spool. Staging and prediction both use this function to turn raw files into samples;
    prediction passes `check_sides=False`, because its user states the sides. `spool` stores sounds and pictures until
    a sample's members are read; `held_bytes`: see `cut_pictures`.
    """
    if job.text_alone:
        return *samples_of_texts(job, ledger), SideDecision()
    spool = spool or Spool()
    present = frozenset(job.files)
    cutter = SoundCutter(root=root, present=present, params=job.params, ledger=ledger, spool=spool, timeout_s=timeout_s)
    sounds = {u.key: sound for u in job.utterances if (sound := cutter.cut(u)) is not None}
    audible = [u for u in job.utterances if u.key in sounds]
    sides = SideDecision()
    if job.tables:
        samples, rows = samples_of_tables(job, root, audible, sounds, ledger)
    else:
        cut = partial(
            cut_pictures,
            params=job.params,
            timeout_s=timeout_s,
            spool=spool,
            held_bytes=held_bytes,
            guides={key: Guide(listen=one.listen, point=job.points.get(key)) for key, one in sounds.items()},
        )
        pictures, sides = _audited_pictures(job, root, audible, detector, cut, ledger, sounds if check_sides else None)
        audible = swapped(audible) if sides.followed else audible
        others = {u.key: listener_of(u, pictures) if job.params.listener else None for u in audible}
        samples = [
            picture_sample(u, sounds[u.key], pictures[u.key], others[u.key], job.params.rate_hz) for u in audible
        ]
        compared = job.params.face != "largest"
        rows = [
            figures_of(u, sounds[u.key], pictures[u.key], compared=compared) | listener_figures(others[u.key])
            for u in audible
        ]
    repaired = {line.item for line in ledger.entries if line.kind == "repaired"}
    for u in audible:
        if u.key not in repaired:
            ledger.keep(u.key)
    return samples, rows, sides


def check_inputs(job: Job, root: Path) -> None:
    """Raise DataError (exit 3) for an input file that differs in size or digest from the inventory."""
    for path, entry in job.files.items():
        try:
            size = (root / path).stat().st_size
            same = size == entry.size and sha256_file(root / path) == entry.sha256
            how = "differs from the inventory"
        except FileNotFoundError:
            same, how = False, "is gone since the inventory was taken"
        except OSError as error:
            raise not_read(error, root / path) from error
        if not same:
            raise DataError(
                f"a file of dialogue {job.dialogue} {how}",
                file=root / path,
                action="run `dvc repro`: its first stage updates the inventory",
            )


def _audited_pictures(
    job: Job,
    root: Path,
    utterances: list[Utterance],
    detector: Detector | None,
    cut: CutPictures,
    ledger: Ledger,
    sounds: Mapping[str, Sound] | None,
) -> tuple[dict[str, Pictures], SideDecision]:
    """Return every utterance's pictures, and the decision about sides if `sounds` is given; losses go to the ledger.

    If the audit is followed, the dialogue is cut a second time, from the other halves. That is rare, so the common
    case pays nothing for it.
    """
    pictures, motions = _all_pictures(job, root, utterances, detector, cut, ledger)
    sides = SideDecision()
    # The audit judges one two-actor picture; no corpus has several per dialogue.
    motion = next(iter(motions.values())) if len(motions) == 1 else None
    if motion is not None and sounds is not None:
        seen = [u for u in utterances if u.video in job.files]
        flacs = Members({u.key: sounds[u.key].flac for u in seen})
        tracks = {u.key: pictures[u.key].track for u in seen}
        audit = audit_dialogue(seen, flacs, tracks, motion, rate_hz=job.params.rate_hz)
        sides = SideDecision(audit=audit, followed=overrules(audit, job.params))
        if sides.followed:
            pictures, _ = _all_pictures(job, root, swapped(utterances), detector, cut, ledger)
    for video in sorted(motions):
        _account_rates(job.dialogue, media.header_rates_fps(root / video), ledger)
    for u in utterances:
        _account(u, pictures[u.key], ledger)
    return pictures, sides


def _all_pictures(
    job: Job,
    root: Path,
    utterances: list[Utterance],
    detector: Detector | None,
    cut: CutPictures,
    ledger: Ledger,
) -> tuple[dict[str, Pictures], dict[str, Motion | None]]:
    """Return every utterance's pictures, all missing if its video does not decode, and the motion of each video.

    The motion is None for a video that one person fills.
    """
    motions: dict[str, Motion | None] = {}
    pictures: dict[str, Pictures] = {}
    by_video: dict[str | None, list[Utterance]] = {}
    for u in utterances:
        by_video.setdefault(u.video if u.video in job.files else None, []).append(u)
    for video, spoken in sorted(by_video.items(), key=lambda item: item[0] or ""):
        members = with_listeners(spoken, job.params)
        if video is not None:
            assert detector is not None
            motion = Motion() if all(u.side in OTHER for u in spoken) else None
            try:
                pictures |= cut(root / video, members, detector=detector, motion=motion)
                motions[video] = motion
                continue
            except media.VideoUnreadable:
                ledger.keep(job.dialogue, "video_unreadable", video)
        pictures |= {u.key: missing_pictures(slots_of(u.start_s, u.end_s, (), 0.0), "video_missing") for u in members}
    return pictures, motions


def _account_rates(dialogue: str, rates_fps: tuple[float, float] | None, ledger: Ledger) -> None:
    """Record in the ledger a video if its header contradicts the rate of its presentation time stamps."""
    if rates_fps is not None and abs(rates_fps[0] / rates_fps[1] - 1) > RATE_TOLERANCE:
        stated, followed = rates_fps
        ledger.keep(dialogue, "video_rate_differs", f"{stated:.2f} frames/s stated, {followed:.2f} in the stamps")


def _account(u: Utterance, pictures: Pictures, ledger: Ledger) -> None:
    """Record in the ledger which pictures an utterance lacks."""
    reasons, frames = Counter(pictures.track.reasons), len(pictures.track.times_s)
    for reason in ("video_missing", "video_truncated", "video_damaged"):
        if reasons[reason]:
            ledger.keep(u.key, reason, f"{reasons[reason]} of {frames} frames")
    if pictures.failed:
        ledger.keep(u.key, "detector_failed", f"{pictures.failed} frames")
    if all(box is None for box in pictures.track.boxes) and reasons["no_face"]:
        ledger.keep(u.key, "no_face", f"{reasons['no_face']} of {frames} frames")
    account_choice(u.key, pictures.choice, ledger)
