"""The records that cross every boundary: frozen, keyword-only, no behaviour beyond their own facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["left", "right", "whole"]
BoxSource = Literal["detected", "bridged", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One utterance: what the file is and what was said about it.

    `audio` and `video` are paths relative to the corpus root with `/` between parts; `audio` is None where only
    the dialogue's sound exists. Times are seconds in the dialogue. `label` is the class after mapping, None where
    the utterance is not used, and then `reason` says why. `votes` are the raters' categorical votes
    (rater id, vote names). `features` names the row of a precomputed table instead of a video.
    """

    key: str
    corpus: str
    session: str
    dialogue: str
    speaker: str
    side: Side
    start_s: float
    end_s: float
    raw_label: str
    label: str | None
    reason: str | None = None
    valence: float | None = None
    activation: float | None = None
    dominance: float | None = None
    votes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    transcript: str | None = None
    audio: str | None = None
    dialogue_audio: str | None = None
    video: str | None = None
    features: str | None = None

    @property
    def used(self) -> bool:
        """True where the utterance has a class of this experiment."""
        return self.label is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A face box in pixels of the picture it was found in: left, top, right, bottom; score of the detector."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceTrack:
    """One slot per frame of an utterance: the box or None, where it came from, and why it is missing.

    All four tuples have the length of the utterance in frames. `reasons[i]` is None unless `sources[i]` is
    "missing" (then one of: no_face, video_truncated, video_missing).
    """

    boxes: tuple[Box | None, ...]
    sources: tuple[BoxSource, ...]
    reasons: tuple[str | None, ...]
    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse tracks whose slots do not line up."""
        lengths = {len(self.boxes), len(self.sources), len(self.reasons), len(self.times_s)}
        if len(lengths) != 1:
            raise ValueError(f"a track needs one slot per frame in every list, got lengths {sorted(lengths)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One utterance as a shard holds it: its key and its members' bytes by extension (`json`, `flac`, …)."""

    key: str
    shard: str
    members: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One utterance's out-of-fold prediction; `probabilities` in the order of the class list."""

    key: str
    fold: str
    session: str
    dialogue: str
    speaker: str
    label: str
    predicted: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One line of account: `item` (an utterance or dialogue key, or a file) and what happened to it and why."""

    kind: Literal["kept", "repaired", "dropped"]
    item: str
    reason: str
    detail: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
