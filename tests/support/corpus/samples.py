"""Samples with metadata in the real form, around bytes that a test gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from foalnet.shards import NO_BOX, AudioMeta, Sample, SampleMeta, TableMeta, VideoMeta, meta_bytes, table_bytes

RATE_HZ = 16000


def meta_of(key: str, **given: Any) -> SampleMeta:
    """Return the metadata of an utterance, with `given` in place of the usual values."""
    usual: dict[str, Any] = {
        "corpus": "drawn",
        "session": "Session1",
        "dialogue": "Ses01F_impro01",
        "turn": 0,
        "speaker": "Ses01F",
        "side": "left",
        "start_s": 0.0,
        "end_s": 1.0,
        "raw_label": "neu",
        "label": "neutral",
        "text": "Well, I do not know.",
        "audio": AudioMeta(rate_hz=RATE_HZ, samples=RATE_HZ, reason=""),
    }
    return SampleMeta(key=key, **usual | given)


def picture_sample(
    key: str, *, flac: bytes, face: Sequence[bytes], half: Sequence[bytes], fps: float = 25.0, **given: Any
) -> Sample:
    """Return a sample with one piece of `face` and of `half` per frame, b"" for a frame without a picture."""
    start_s = given.get("start_s", 0.0)
    video = VideoMeta(
        times_s=[start_s + i / fps for i in range(len(face))],
        boxes=[list(NO_BOX) for _ in face],
        scores=[0.0 for _ in face],
        sources=["detected" if piece else "missing" for piece in face],
        reasons=["" if piece else "no_face" for piece in face],
        area=[0, 0, 64, 48],
        face_offsets=[0, *itertools.accumulate(map(len, face))],
        half_offsets=[0, *itertools.accumulate(map(len, half))],
    )
    members = {"json": meta_bytes(meta_of(key, video=video, **given)), "flac": flac}
    members |= {"face.mjpg": b"".join(face), "half.mjpg": b"".join(half)}
    return Sample(key=key, shard="", members=members)


def table_sample(key: str, *, flac: bytes, rows_FD: np.ndarray, **given: Any) -> Sample:
    """Return a sample with rows of a feature table as its picture."""
    features = TableMeta(frames=rows_FD.shape[0], dims=rows_FD.shape[1])
    members = {"json": meta_bytes(meta_of(key, features=features, **given)), "flac": flac}
    return Sample(key=key, shard="", members=members | {"video.npy": table_bytes(rows_FD)})
