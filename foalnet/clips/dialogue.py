"""One dialogue to one shard: the unit of work, idempotent, kept under the digest of everything that shapes it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foalnet import media
from foalnet.artifact.seal import opened, publish_sealed
from foalnet.clips.cut import Cutter, Sound
from foalnet.clips.pictures import HELD_BYTES, Film, film_dialogue, masked
from foalnet.clips.plan import STAGE, Job
from foalnet.clips.reel import Members, Pieces, Reel
from foalnet.clips.sides import Word, audited, overrules, swapped
from foalnet.clips.slots import slots_of
from foalnet.core.errors import DataError, FoalnetError
from foalnet.core.files import make_folder, not_read, sha256_file
from foalnet.core.ledger import Ledger
from foalnet.core.records import LedgerEntry, Sample, Utterance
from foalnet.corpora.tables import parse_reference, read_table
from foalnet.faces import Detector
from foalnet.faces.motion import Motion
from foalnet.faces.sides import OTHER, Audit
from foalnet.shards import (
    NO_BOX,
    AudioMeta,
    SampleMeta,
    ShardEntry,
    TableMeta,
    VideoMeta,
    as_entry,
    fault_of,
    meta_bytes,
    write_shard,
)

Filming = Callable[..., dict[str, Film]]
SCHEMA = 2
SHARD = "shard.tar"
ENTRY = "entry.json"
BOX_DIGITS = 2
# Two rates that an AVI states are one within this share: 30 is a common way to write 29.97.
RATE_TOLERANCE = 0.005
SCORE_DIGITS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A finished dialogue: its shard (None where every utterance was dropped), account, and figures per utterance.

    `word`: what the audit of its sides said, against the job's, and whether it was followed.
    """

    job: Job
    shard: ShardEntry | None
    ledger: tuple[LedgerEntry, ...]
    utterances: tuple[dict[str, Any], ...]
    word: Word = field(default_factory=Word)


def kept(job: Job, work: Path) -> Staged | None:
    """Return what the work cache holds of a job, None where it was not finished; nothing is verified yet."""
    try:
        data = (job.folder(work) / ENTRY).read_bytes()
    except FileNotFoundError:
        return None
    return _from_entry(job, data)


def verified(job: Job, work: Path) -> Staged | None:
    """Return what the work cache holds of a job, None where it was not finished or its shard is damaged."""
    found = kept(job, work)
    if found is not None and found.shard is not None and fault_of(job.folder(work) / SHARD, found.shard) is not None:
        return None
    return found


def _from_entry(job: Job, data: bytes) -> Staged | None:
    try:
        entry = opened(data, job.folder(Path()) / ENTRY, again=STAGE)
        if entry["schema"] != SCHEMA or entry["key"] != job.key:
            return None
        return Staged(
            job=job,
            shard=None if entry["shard"] is None else as_entry(entry["shard"]),
            ledger=tuple(LedgerEntry(**row) for row in entry["ledger"]),
            utterances=tuple(entry["utterances"]),
            word=_word(entry["sides"]),
        )
    except (DataError, ValueError, KeyError, TypeError):
        return None


def _word(row: dict[str, Any]) -> Word:
    return Word(audit=None if row["audit"] is None else Audit(**row["audit"]), followed=row["followed"])


def stage_dialogue(
    job: Job, *, root: Path, work: Path, detector: Detector | None, timeout_s: float, held_bytes: int = HELD_BYTES
) -> Staged:
    """Make one dialogue's shard in the work cache, entry last; where it is there and whole, do nothing.

    DataError (exit 3) where an input differs from the inventory; MachineError (exit 4) where it cannot be read.
    """
    folder = job.folder(work)
    damaged = (folder / ENTRY).exists()
    found = verified(job, work)
    if found is not None:
        return found
    # An entry that came meanwhile is another process' finished work, and as good as ours will be.
    if damaged:
        (folder / ENTRY).unlink(missing_ok=True)
    check_inputs(job, root)
    ledger = Ledger()
    try:
        make_folder(folder)
        samples, rows, word = stage_samples(
            job,
            root=root,
            detector=detector,
            timeout_s=timeout_s,
            ledger=ledger,
            reel=Reel(folder),
            held_bytes=held_bytes,
        )
        shard = write_shard(folder / SHARD, samples, session=job.session, group=job.dialogue) if samples else None
        publish_sealed(folder / ENTRY, _entry(job, shard, ledger, rows, word))
    except FoalnetError as error:
        # What reads or writes a file knows the file and not whose it is.
        error.stage = error.stage or STAGE
        raise
    return Staged(job=job, shard=shard, ledger=tuple(ledger.entries), utterances=tuple(rows), word=word)


def _entry(
    job: Job, shard: ShardEntry | None, ledger: Ledger, rows: list[dict[str, Any]], word: Word
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": job.key,
        "session": job.session,
        "dialogue": job.dialogue,
        "shard": None if shard is None else asdict(shard),
        "ledger": [asdict(line) for line in ledger.entries],
        "utterances": rows,
        "sides": asdict(word),
    }


def stage_samples(
    job: Job,
    *,
    root: Path,
    detector: Detector | None,
    timeout_s: float,
    ledger: Ledger,
    listen: bool = True,
    reel: Reel | None = None,
    held_bytes: int = HELD_BYTES,
) -> tuple[list[Sample], list[dict[str, Any]], Word]:
    """Return the samples of a job's utterances that have sound, figures of each, and the word on their sides.

    Nothing is written. This is the one way from raw files to a sample: staging and prediction both take it; only
    prediction does not `listen` whether the sides are right, since there they are what was asked for. `reel` takes
    sounds and pictures until a sample's members are asked for; `held_bytes`: as `film_dialogue` has it.
    """
    reel = reel or Reel()
    cutter = Cutter(root=root, present=frozenset(job.files), params=job.params, ledger=ledger, reel=reel)
    sounds = {u.key: sound for u in job.utterances if (sound := cutter.sound(u)) is not None}
    audible = [u for u in job.utterances if u.key in sounds]
    word = Word()
    if job.tables:
        samples, rows = _from_tables(job, root, audible, sounds, ledger)
    else:
        film = partial(film_dialogue, params=job.params, timeout_s=timeout_s, reel=reel, held_bytes=held_bytes)
        films, word = _films(job, root, audible, detector, film, ledger, sounds if listen else None)
        audible = swapped(audible) if word.followed else audible
        samples = [_picture_sample(u, sounds[u.key], films[u.key], job.params.rate_hz) for u in audible]
        rows = [_figures(u, sounds[u.key], films[u.key]) for u in audible]
    repaired = {line.item for line in ledger.entries if line.kind == "repaired"}
    for u in audible:
        if u.key not in repaired:
            ledger.keep(u.key)
    return samples, rows, word


def check_inputs(job: Job, root: Path) -> None:
    """Refuse (DataError, exit 3) an input file that is not, byte by byte, what the inventory lists."""
    for path, entry in job.files.items():
        try:
            size = (root / path).stat().st_size
            same = size == entry.size and sha256_file(root / path) == entry.sha256
            how = "differs from the inventory"
        except FileNotFoundError:
            same, how = False, "is gone since the inventory was taken"
        except OSError as error:
            raise not_read(error, root / path, stage=STAGE) from error
        if not same:
            raise DataError(
                f"a file of dialogue {job.dialogue} {how}",
                file=root / path,
                stage=STAGE,
                action="run `dvc repro`: its first stage takes the inventory anew",
            )


def _films(
    job: Job,
    root: Path,
    utterances: list[Utterance],
    detector: Detector | None,
    film: Filming,
    ledger: Ledger,
    sounds: Mapping[str, Sound] | None,
) -> tuple[dict[str, Film], Word]:
    """Return every utterance's film, and the word on sides where `sounds` are given; each loss is in the ledger.

    Where the audit's word is followed, the dialogue is filmed a second time, from the other halves: that is rare, and
    so the others pay nothing for it.
    """
    films, filmed = _filmed(job, root, utterances, detector, film, ledger)
    word = Word()
    # Who sits where is one question for one two-actor picture; no corpus has several a dialogue.
    motion = next(iter(filmed.values())) if len(filmed) == 1 else None
    if motion is not None and sounds is not None:
        seen = [u for u in utterances if u.video in job.files]
        flacs = Members({u.key: sounds[u.key].flac for u in seen})
        tracks = {u.key: films[u.key].track for u in seen}
        found = audited(seen, flacs, tracks, motion, rate_hz=job.params.rate_hz)
        word = Word(audit=found, followed=overrules(found, job.params))
        if word.followed:
            films, _ = _filmed(job, root, swapped(utterances), detector, film, ledger)
    for video in sorted(filmed):
        _account_rates(job.dialogue, media.header_rates_fps(root / video), ledger)
    for u in utterances:
        _account(u, films[u.key], ledger)
    return films, word


def _filmed(
    job: Job,
    root: Path,
    utterances: list[Utterance],
    detector: Detector | None,
    film: Filming,
    ledger: Ledger,
) -> tuple[dict[str, Film], dict[str, Motion | None]]:
    """Return every utterance's film, fully masked where no video decodes, and the motion in each video that does.

    None for the motion where one person fills the picture.
    """
    filmed: dict[str, Motion | None] = {}
    films: dict[str, Film] = {}
    by_video: dict[str | None, list[Utterance]] = {}
    for u in utterances:
        by_video.setdefault(u.video if u.video in job.files else None, []).append(u)
    for video, members in sorted(by_video.items(), key=lambda item: item[0] or ""):
        if video is not None:
            assert detector is not None
            motion = Motion() if all(u.side in OTHER for u in members) else None
            try:
                films |= film(root / video, members, detector=detector, motion=motion)
                filmed[video] = motion
                continue
            except media.VideoUnreadable:
                ledger.keep(job.dialogue, "video_unreadable", video)
        films |= {u.key: masked(slots_of(u.start_s, u.end_s, (), 0.0), "video_missing") for u in members}
    return films, filmed


def _account_rates(dialogue: str, rates_fps: tuple[float, float] | None, ledger: Ledger) -> None:
    """Count in the ledger a video whose header contradicts the rate of its presentation stamps."""
    if rates_fps is not None and abs(rates_fps[0] / rates_fps[1] - 1) > RATE_TOLERANCE:
        said, followed = rates_fps
        ledger.keep(dialogue, "video_rate_differs", f"{said:.2f} frames/s stated, {followed:.2f} in the stamps")


def _account(u: Utterance, film: Film, ledger: Ledger) -> None:
    """Count in the ledger what an utterance's picture lacks."""
    reasons, frames = Counter(film.track.reasons), len(film.track.times_s)
    for reason in ("video_missing", "video_truncated", "video_damaged"):
        if reasons[reason]:
            ledger.keep(u.key, reason, f"{reasons[reason]} of {frames} frames")
    if film.failed:
        ledger.keep(u.key, "detector_failed", f"{film.failed} frames")
    if all(box is None for box in film.track.boxes) and reasons["no_face"]:
        ledger.keep(u.key, "no_face", f"{reasons['no_face']} of {frames} frames")


def _meta(
    u: Utterance, sound: Sound, rate_hz: int, *, video: VideoMeta | None = None, features: TableMeta | None = None
) -> bytes:
    """Return a sample's metadata."""
    return meta_bytes(
        SampleMeta(
            key=u.key,
            corpus=u.corpus,
            session=u.session,
            dialogue=u.dialogue,
            speaker=u.speaker,
            side=u.side,
            start_s=float(u.start_s),
            end_s=float(u.end_s),
            raw_label=u.raw_label,
            label=u.label or "",
            audio=AudioMeta(rate_hz=rate_hz, samples=sound.samples, reason=sound.reason or ""),
            video=video,
            features=features,
        )
    )


def _picture_sample(u: Utterance, sound: Sound, film: Film, rate_hz: int) -> Sample:
    """Pack sound, face crops and half pictures."""
    video = VideoMeta(
        times_s=[float(time_s) for time_s in film.track.times_s],
        boxes=[
            [round(float(v), BOX_DIGITS) for v in (NO_BOX if b is None else (b.left, b.top, b.right, b.bottom))]
            for b in film.track.boxes
        ],
        scores=[0.0 if b is None else round(float(b.score), SCORE_DIGITS) for b in film.track.boxes],
        sources=list(film.track.sources),
        reasons=[reason or "" for reason in film.track.reasons],
        area=list(film.area),
        face_offsets=film.faces.offsets,
        half_offsets=film.halves.offsets,
    )
    members: dict[str, bytes | Pieces] = {
        "json": _meta(u, sound, rate_hz, video=video),
        "flac": sound.flac,
        "face.mjpg": film.faces,
        "half.mjpg": film.halves,
    }
    return Sample(key=u.key, shard="", members=Members(members))


def _figures(u: Utterance, sound: Sound, film: Film) -> dict[str, Any]:
    """Return what staging.json needs to know of an utterance."""
    sources = Counter(film.track.sources)
    return {
        "key": u.key,
        "session": u.session,
        "speaker": u.speaker,
        "samples": sound.samples,
        "frames": len(film.track.times_s),
        "detected": sources["detected"],
        "bridged": sources["bridged"],
        "jumps": film.jumps,
        "missing": dict(sorted(Counter(r for r in film.track.reasons if r is not None).items())),
    }


def _from_tables(
    job: Job, root: Path, utterances: list[Utterance], sounds: Mapping[str, Sound], ledger: Ledger
) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Return samples whose pictures are rows of feature tables, and their figures; a missing row has no frames."""
    tables = {path: read_table(root / path) for path in job.tables}
    dims = max(row.shape[1] for table in tables.values() for row in table.values())
    samples, figures = [], []
    for u in utterances:
        table, clip = parse_reference(u.features) if u.features is not None else ("", "")
        features_FD = tables.get(table, {}).get(clip)
        if features_FD is None:
            features_FD = np.zeros((0, dims), np.float32)
            ledger.keep(u.key, "video_missing", "no row in a feature table")
        frames, width = features_FD.shape
        told = _meta(u, sounds[u.key], job.params.rate_hz, features=TableMeta(dims=width, frames=frames))
        members = {"json": told, "flac": sounds[u.key].flac.joined(), "video.npy": _npy(features_FD)}
        samples.append(Sample(key=u.key, shard="", members=members))
        figures.append(
            {"key": u.key, "session": u.session, "speaker": u.speaker, "samples": sounds[u.key].samples}
            | {"features": frames}
        )
    return samples, figures


def _npy(features_FD: np.ndarray) -> bytes:
    """Encode [F, D] float32 as .npy without objects."""
    out = io.BytesIO()
    np.lib.format.write_array(
        out, np.ascontiguousarray(features_FD, np.dtype("<f4")), version=(1, 0), allow_pickle=False
    )
    return out.getvalue()
