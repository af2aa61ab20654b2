"""The metadata of a sample, its member `json`: the one module that names every key (docs/staging.md explains them).

A key's type does not depend on its content, and no value is null, so that readers which infer the types from the first
samples (Hugging Face `datasets`) can read all others. A frame without a face has a reason and a box of zeros.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import ConfigDict

from foalnet.core.files import jsonl_bytes

NO_BOX = (0.0, 0.0, 0.0, 0.0)
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioMeta:
    """The member `flac`: mono 16-bit sound of `samples` samples; `reason`: its first repair, "" for none."""

    __pydantic_config__ = STRICT

    rate_hz: int
    samples: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMeta:
    """The members `face.mjpg` and `half.mjpg`: one entry per frame in each list; the offsets have one more.

    `boxes`: left, top, right, bottom in pixels of the source picture; without a face NO_BOX and score 0.0.
    `sources`: detected, bridged, missing. `reasons`: why a face is missing, else "". `area`: the part of the source
    that the half picture shows, as a box.
    """

    __pydantic_config__ = STRICT

    times_s: list[float]
    boxes: list[list[float]]
    scores: list[float]
    sources: list[str]
    reasons: list[str]
    area: list[int]
    face_offsets: list[int]
    half_offsets: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMeta:
    """The member `video.npy`: `frames` rows of `dims` float32 numbers from the corpus' own table of features."""

    __pydantic_config__ = STRICT

    dims: int
    frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMeta:
    """One utterance; `label` is its class, "" for none; times are seconds in the dialogue.

    Every sample of a corpus has either `video` or `features`; the other key is absent.
    """

    __pydantic_config__ = STRICT

    key: str
    corpus: str
    session: str
    dialogue: str
    speaker: str
    side: str
    start_s: float
    end_s: float
    raw_label: str
    label: str
    audio: AudioMeta
    video: VideoMeta | None = None
    features: TableMeta | None = None


def meta_bytes(meta: SampleMeta) -> bytes:
    """Return the member `json`: one line of canonical JSON."""
    return jsonl_bytes([{name: value for name, value in asdict(meta).items() if value is not None}])
