"""The records that all rooms exchange: frozen, keyword-only, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["left", "right", "whole"]
BoxSource = Literal["detected", "bridged", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One utterance: its files, times, speaker and labels.

    `audio` and `video` are paths relative to the corpus root with `/` between parts; `audio` is None where only
    the dialogue's sound exists. Times are seconds from the start of the dialogue. `label` is the class; None if the
    utterance is not used, and `reason` then says why. `turn` is the place in the dialogue, from 0 (in a reader's rows
    the place in the transcript, None where it has none). `overlap_s`: seconds of it in which another speaker of the
    same recording speaks, by the manifest's times; None where no other utterance is of its recording. `votes` are the
    raters' categorical votes (rater id, vote names). `features` names a row of a table of precomputed features that
    replaces the video.
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
    turn: int | None = None
    overlap_s: float | None = None
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
        """Return whether the utterance has a class of this experiment."""
        return self.label is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A face box in pixels of the picture that the detector searched, with the detector's score."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceTrack:
    """The face of each frame of an utterance: its box or None, the box's source, and the reason if it is missing.

    All four tuples have the length of the utterance in frames. `reasons[i]` is None unless `sources[i]` is
    "missing" (then one of: no_face, other_face, detector_failed, video_truncated, video_damaged, video_missing).
    """

    boxes: tuple[Box | None, ...]
    sources: tuple[BoxSource, ...]
    reasons: tuple[str | None, ...]
    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if the tuples differ in length."""
        lengths = {len(self.boxes), len(self.sources), len(self.reasons), len(self.times_s)}
        if len(lengths) != 1:
            raise ValueError(f"a track needs one item per frame in every tuple, got lengths {sorted(lengths)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The out-of-fold prediction for one utterance; `probabilities` are in the order of the class list."""

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
    """One entry of the ledger: an item (key of an utterance or dialogue, or a file), what happened to it and why."""

    kind: Literal["kept", "repaired", "dropped"]
    item: str
    reason: str
    detail: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
