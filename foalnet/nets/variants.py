"""The variants: which modalities they see and which auxiliary tasks teach them (METHOD, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """What a variant is made of."""

    audio: bool = True
    video: bool = True
    avel: bool = False
    mem: bool = False

    @property
    def projects(self) -> bool:
        """True where the projections of AVEL exist: MEM ranks its hard negatives by them."""
        return self.avel or self.mem


VARIANTS: dict[str, Tasks] = {
    "audio_only": Tasks(video=False),
    "video_only": Tasks(audio=False),
    "baseline": Tasks(),
    "avel": Tasks(avel=True),
    "mem": Tasks(mem=True),
    "foal": Tasks(avel=True, mem=True),
}
