"""Packs a dialogue's cut sound, pictures, tables of features and words into samples, and counts what each holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.clips.listener import Listener, track_lists
from foalnet.clips.pictures import Pictures
from foalnet.clips.plan import Job
from foalnet.clips.sound import Sound
from foalnet.clips.spool import Members, Pieces
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.tables import parse_reference, read_table
from foalnet.shards import (
    META,
    AudioMeta,
    Sample,
    SampleMeta,
    TableMeta,
    VideoMeta,
    meta_bytes,
    table_bytes,
)


def _meta(
    u: Utterance,
    sound: Sound | None,
    rate_hz: int,
    *,
    video: VideoMeta | None = None,
    features: TableMeta | None = None,
    listener: Listener | None = None,
) -> bytes:
    """Return a sample's metadata."""
    return meta_bytes(
        SampleMeta(
            key=u.key,
            corpus=u.corpus,
            session=u.session,
            dialogue=u.dialogue,
            turn=u.turn or 0,
            speaker=u.speaker,
            side=u.side,
            start_s=float(u.start_s),
            end_s=float(u.end_s),
            raw_label=u.raw_label,
            label=u.label or "",
            text=u.transcript or "",
            audio=None if sound is None else AudioMeta(rate_hz=rate_hz, samples=sound.samples, reason=sound.reason),
            video=video,
            features=features,
            listener_video=None if listener is None else listener.meta,
        )
    )


def picture_sample(u: Utterance, sound: Sound, pictures: Pictures, listener: Listener | None, rate_hz: int) -> Sample:
    """Pack sound, face crops, half pictures and the listener's face crops."""
    video = VideoMeta(
        times_s=[float(time_s) for time_s in pictures.track.times_s],
        **track_lists(pictures.track),
        area=list(pictures.area),
        face_offsets=pictures.faces.offsets,
        half_offsets=pictures.halves.offsets,
    )
    members: dict[str, bytes | Pieces] = {
        "json": _meta(u, sound, rate_hz, video=video, listener=listener),
        "flac": sound.flac,
        "face.mjpg": pictures.faces,
        "half.mjpg": pictures.halves,
        **({} if listener is None else {"listener.mjpg": listener.faces}),
    }
    return Sample(key=u.key, shard="", members=Members(members))


def figures_of(u: Utterance, sound: Sound, pictures: Pictures, *, compared: bool) -> dict[str, Any]:
    """Return an utterance's counts for staging.json; `compared`: also how its face was chosen."""
    sources = Counter(pictures.track.sources)
    return {
        "key": u.key,
        "session": u.session,
        "speaker": u.speaker,
        "samples": sound.samples,
        "frames": len(pictures.track.times_s),
        "detected": sources["detected"],
        "bridged": sources["bridged"],
        "jumps": pictures.jumps,
        "missing": dict(sorted(Counter(r for r in pictures.track.reasons if r is not None).items())),
        **({"choice": asdict(pictures.choice)} if compared else {}),
    }


def samples_of_texts(job: Job, ledger: Ledger) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Return samples that hold words alone, and their figures; an utterance without words is dropped."""
    samples, figures = [], []
    for u in job.utterances:
        if not u.transcript:
            ledger.drop(u.key, "text_missing")
            continue
        ledger.keep(u.key)
        samples.append(Sample(key=u.key, shard="", members={META: _meta(u, None, job.params.rate_hz)}))
        figures.append({"key": u.key, "session": u.session, "speaker": u.speaker, "samples": 0})
    return samples, figures


def samples_of_tables(
    job: Job, root: Path, utterances: list[Utterance], sounds: Mapping[str, Sound], ledger: Ledger
) -> tuple[list[Sample], list[dict[str, Any]]]:
    """Return samples with rows of feature tables as pictures, and their figures; a missing row has no frames."""
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
        meta = _meta(u, sounds[u.key], job.params.rate_hz, features=TableMeta(dims=width, frames=frames))
        members = {"json": meta, "flac": sounds[u.key].flac.joined(), "video.npy": table_bytes(features_FD)}
        samples.append(Sample(key=u.key, shard="", members=members))
        figures.append(
            {"key": u.key, "session": u.session, "speaker": u.speaker, "samples": sounds[u.key].samples}
            | {"features": frames}
        )
    return samples, figures
