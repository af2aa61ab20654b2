"""What a sample says of itself in its member `json`: the one place that names every key (docs/shards.md explains them).

A key's type never changes with its content, and nothing is null: readers that take the types from the first samples
(Hugging Face `datasets`) then read all others too. A frame without a face has its reason in words and a box of zeros.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import ConfigDict

from foalnet.core.files import jsonl_bytes

NO_BOX = (0.0, 0.0, 0.0, 0.0)
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioMeta:
    """The member `flac`: mono 16-bit sound of `samples` samples; `reason`: its first repair, "" where there is none."""

    __pydantic_config__ = STRICT

    rate_hz: int
    samples: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMeta:
    """The members `face.mjpg` and `half.mjpg`: one slot a frame in each list; the offsets have one entry more.

    `boxes`: left, top, right, bottom in pixels of the source picture, NO_BOX without a face; `scores` 0.0 then.
    `sources`: detected, bridged, missing. `reasons`: why it is missing, else "". `area`: what the half picture shows of
    the source, as a box.
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
    """The member `video.npy`: `frames` rows of `dims` float32 numbers out of the corpus' own table of features."""

    __pydantic_config__ = STRICT

    dims: int
    frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMeta:
    """One utterance: `label` is its class, "" where it is in none; times are seconds in the dialogue.

    `video` or `features`, never both; the other key is not there, in no sample of the corpus.
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
