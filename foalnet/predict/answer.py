"""The prediction for one person in one clip, and the inputs that the model used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from foalnet.core.errors import FoalnetError
from foalnet.core.records import Side

Sense = Literal["found", "none", "silent", "unused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Counts of the clip's frames by source of the face box; `seen`: the frames that the network used."""

    total: int = 0
    detected: int = 0
    bridged: int = 0
    missing: int = 0
    seen: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceBox:
    """The middle of a face and its height, as shares of the person's picture from its left and upper edge.

    Each is the median of the frames with a face.
    """

    x: float
    y: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPrediction:
    """One person of one clip: `probabilities` by class in class order, summing to 1; `label` the likeliest.

    `sound`, `picture` and `text` say whether the model used them: found, none (missing or unusable), silent (the sound
    has no content and is masked like a missing one), unused (this variant does not take it). `preprocessing`: "same" as
    in training, or the differences. `notes`: sentences for the user. `start_s`, `end_s`: the span of the clip, None for
    words alone; `face`: None without a face.

    >>> sad = {"sad": 0.75, "happy": 0.25}
    >>> answer = ClipPrediction(
    ...     key="a.wav", side="whole", label="sad", probabilities=sad, sound="found", picture="none"
    ... )
    >>> answer.row()["probabilities"], answer.preprocessing
    ({'sad': 0.75, 'happy': 0.25}, 'same')
    """

    key: str
    side: Side
    label: str
    probabilities: Mapping[str, float]
    sound: Sense
    picture: Sense
    text: Sense = "unused"
    frames: Frames = field(default_factory=Frames)
    preprocessing: str = "same"
    notes: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    face: FaceBox | None = None

    def row(self) -> dict[str, Any]:
        """Return the prediction as a JSON row."""
        return asdict(self) | {"probabilities": dict(self.probabilities), "notes": list(self.notes)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """A window of a clip without a prediction for a person, and why."""

    side: Side
    start_s: float
    end_s: float
    error: FoalnetError

    def row(self) -> dict[str, Any]:
        """Return the window as a JSON row."""
        return {"side": self.side, "start_s": self.start_s, "end_s": self.end_s, "error": error_row(self.error)}


def error_row(error: FoalnetError) -> dict[str, Any]:
    """Return an error as a JSON row."""
    return {"exit_code": error.exit_code, "what": error.what, "file": error.file, "next": error.action}
