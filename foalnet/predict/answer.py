"""What a model says of one person in one clip, and what it had to go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from foalnet.core.records import Side

Sense = Literal["found", "none", "silent", "unused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Frames of the clip by what is known of the face: `total` is the sum of the others; `seen` reached the network."""

    total: int = 0
    detected: int = 0
    bridged: int = 0
    missing: int = 0
    seen: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPrediction:
    """One person of one clip: `probabilities` by class in class order, summing to 1; `label` the likeliest.

    `sound` and `picture` say whether the model had them: found, none (missing or unusable), silent (a sound in which
    nothing is to be heard: masked like a missing one), unused (this variant does not take it). `preprocessing`: "same"
    as the training's, or what differs here. `notes`: sentences for a person.
    """

    key: str
    side: Side
    label: str
    probabilities: Mapping[str, float]
    sound: Sense
    picture: Sense
    frames: Frames = field(default_factory=Frames)
    preprocessing: str = "same"
    notes: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"probabilities": dict(self.probabilities), "notes": list(self.notes)}
