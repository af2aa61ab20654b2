"""The format of a shard's sample: the names of its members and the keys of its metadata.

Member `json` is the metadata (docs/staging.md explains its keys). A key's type does not depend on its content, and no
value is null, so that readers which infer the types from the first samples (Hugging Face `datasets`) can read all
others. A frame without a face has a reason and a box of zeros.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from foalnet.core.files import jsonl_bytes

NO_BOX = (0.0, 0.0, 0.0, 0.0)
STRICT = ConfigDict(extra="forbid", strict=True)
KEY = re.compile(r"[A-Za-z0-9_-]+")
# The longest member name must fit into the 100 bytes of a plain tar header, so that no extension header is needed.
KEY_MAX = 100 - len(".listener.mjpg")

META, SOUND, TABLE = "json", "flac", "video.npy"
STREAMS = {"face": "face.mjpg", "half": "half.mjpg", "listener": "listener.mjpg"}
# Sorted as the tar writer orders them; no other members are written or accepted.
PICTURES = ("face.mjpg", "flac", "half.mjpg", "json")
WITH_LISTENER = (*PICTURES, "listener.mjpg")
FEATURES = ("flac", "json", "video.npy")
TEXTS = ("json",)
KINDS = (PICTURES, WITH_LISTENER, FEATURES, TEXTS)

Stream = Literal["face", "half", "listener"]


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
class ListenerMeta:
    """The member `listener.mjpg`: the face in the other half, with an entry per frame of `video`, as there.

    `reasons`: also no_listener, for a picture that one person fills. `overlap_s`: seconds of the utterance in which
    another speaker of the dialogue speaks, too.
    """

    __pydantic_config__ = STRICT

    overlap_s: float
    boxes: list[list[float]]
    scores: list[float]
    sources: list[str]
    reasons: list[str]
    listener_offsets: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMeta:
    """The member `video.npy`: `frames` rows of `dims` float32 numbers from the corpus' own table of features."""

    __pydantic_config__ = STRICT

    dims: int
    frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMeta:
    """One utterance; `turn`: its place in the dialogue, from 0; times are seconds in the dialogue.

    `label`: its class, `text`: the spoken words, each "" for none.

    Every sample of a corpus has `audio` and either `video` or `features`; a corpus of text alone has none of the three.
    `listener_video` is there with `shards.listener`. What a sample lacks has no key.
    """

    __pydantic_config__ = STRICT

    key: str
    corpus: str
    session: str
    dialogue: str
    turn: int
    speaker: str
    side: str
    start_s: float
    end_s: float
    raw_label: str
    label: str
    text: str
    audio: AudioMeta | None = None
    video: VideoMeta | None = None
    features: TableMeta | None = None
    listener_video: ListenerMeta | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The members that the sample must have, sorted."""
        if self.audio is None:
            return TEXTS
        if self.video is None:
            return FEATURES
        return PICTURES if self.listener_video is None else WITH_LISTENER

    def offsets(self, stream: Stream) -> list[int]:
        """Return where the pictures of a stream begin and end; see `split_frames`."""
        offsets: list[int] = getattr(self.listener_video if stream == "listener" else self.video, f"{stream}_offsets")
        return offsets


def meta_bytes(meta: SampleMeta) -> bytes:
    """Return the member `json`: one line of canonical JSON."""
    return jsonl_bytes([{name: value for name, value in asdict(meta).items() if value is not None}])


def table_bytes(rows_FD: np.ndarray) -> bytes:
    """Return the member `video.npy`: [F, D] float32 without objects."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(rows_FD, np.dtype("<f4")), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def valid_key(key: str) -> bool:
    """Tell whether a key is a valid sample name: letters, digits, `_`, `-`, at most KEY_MAX of them.

    To a WebDataset reader a dot ends the key, so a key with a dot could merge two utterances into one sample.

    >>> valid_key("Ses01F_impro01_F000"), valid_key("clip.1")
    (True, False)
    """
    return len(key) <= KEY_MAX and KEY.fullmatch(key) is not None


def valid_offsets(offsets: Sequence[int], frames: int, size: int) -> bool:
    """Tell whether `offsets` cut `size` bytes into `frames` pieces: frames + 1 ascending ints from 0 to size.

    >>> valid_offsets([0, 2, 2, 5], frames=3, size=5), valid_offsets([0, 2, 1, 5], frames=3, size=5)
    (True, False)
    """
    if len(offsets) != frames + 1 or offsets[0] != 0 or offsets[-1] != size:
        return False
    return all(a <= b for a, b in itertools.pairwise(offsets))


def split_frames(stream: bytes, offsets: Sequence[int]) -> list[bytes]:
    """Return the JPEGs of a picture stream, one per frame slot; empty bytes for a slot without a picture.

    >>> split_frames(b"aabbb", [0, 2, 2, 5])
    [b'aa', b'', b'bbb']
    """
    return [stream[a:b] for a, b in itertools.pairwise(offsets)]
