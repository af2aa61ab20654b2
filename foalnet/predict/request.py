"""What is asked of a clip, checked before anything is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foalnet.errors import UsageError
from foalnet.records import Side

STAGE = "predict"
Who = Literal["left", "right", "both"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One clip and how to read it.

    `start_s` and `end_s` (both or neither): seconds of the clip's own timeline; the whole clip without them. `sound`: a
    wav or flac file that is heard as it is, whole, instead of the clip's own track. `recording`: one on the clip's
    timeline, of which [start_s, end_s) is heard. `people`: 1 fills the picture, 2 sit side by side, each in one half;
    `side`: of two, which one.
    """

    clip: Path
    start_s: float | None = None
    end_s: float | None = None
    sound: Path | None = None
    recording: Path | None = None
    people: int = 1
    side: Who = "both"

    def __post_init__(self) -> None:
        """Refuse what contradicts itself (UsageError, exit 2)."""
        if self.people not in (1, 2):
            raise _wrong(f"people is {self.people}", "say 1 (one person fills the picture) or 2 (two side by side)")
        if self.side not in ("left", "right", "both"):
            raise _wrong(f"side is '{self.side}'", "say left, right or both")
        if self.people == 1 and self.side != "both":
            raise _wrong(f"side is '{self.side}' of a picture with one person", "say people 2, or leave the side out")
        if (self.start_s is None) != (self.end_s is None):
            raise _wrong("start and end belong together, one of them is missing", "give both, or neither")
        if self.start_s is not None and self.end_s is not None:
            finite = math.isfinite(self.start_s) and math.isfinite(self.end_s)
            if not (finite and 0 <= self.start_s < self.end_s):
                raise _wrong(
                    f"{self.start_s:g} s to {self.end_s:g} s is no span of time", "0 <= start < end, in seconds"
                )
        if self.sound is not None and self.recording is not None:
            raise _wrong("both a sound and a recording were given", "give one of them")
        if self.recording is not None and self.start_s is None:
            raise _wrong("a recording on the clip's timeline needs start and end", "give both, or give it as sound")

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides of the picture to answer for."""
        if self.people == 1:
            return ("whole",)
        return ("left", "right") if self.side == "both" else (self.side,)


def _wrong(what: str, action: str) -> UsageError:
    return UsageError(what, stage=STAGE, action=action)
