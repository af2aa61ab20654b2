"""The params block of the drawn corpus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from foalnet.config.base import Frozen
from foalnet.config.blocks import Fraction, Seed


class Draw(Frozen):
    """The drawn corpus: structure, rule shares and seed (docs/drawn.md)."""

    seed: Seed = 1
    dialogues_per_session: Annotated[int, Field(ge=1, le=99)] = 6  # names have two digits
    used_per_dialogue: Annotated[int, Field(ge=1, le=1000)] = Field(
        14, description="utterances with one of the four classes"
    )
    unused_per_dialogue: Annotated[int, Field(ge=0, le=1000)] = Field(2, description="utterances labelled xxx or fru")
    share_both: Fraction = Field(0.36, description="sound and face both show the emotion")
    share_sound: Fraction = Field(0.24, description="only the sound shows the emotion")
    share_face: Fraction = Field(0.12, description="only the face shows the emotion")
    share_interaction: Fraction = Field(0.28, description="only sound and face together show the emotion")
    length_min_s: Annotated[float, Field(ge=0.3, le=60.0)] = 1.2  # a shorter voice has no recognisable contour
    length_max_s: Annotated[float, Field(ge=0.3, le=60.0)] = 2.0
    rate_fps: Literal["30000/1001", "15000/1001"] = "30000/1001"

    @model_validator(mode="after")
    def _fits(self) -> Draw:
        total = self.share_both + self.share_sound + self.share_face + self.share_interaction
        if abs(total - 1.0) > 1e-6:
            raise ValueError(
                "share_both, share_sound, share_face and share_interaction of the drawn corpus add up to "
                f"{total:.4f}, not to 1"
            )
        if self.length_min_s > self.length_max_s:
            raise ValueError(f"length_min_s {self.length_min_s} is above length_max_s {self.length_max_s}")
        return self
