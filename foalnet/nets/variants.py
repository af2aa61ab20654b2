"""The variants: which modalities and which picture they see, and which tasks teach them (METHOD, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

from foalnet.config.blocks import HALF, Picture


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


# By name without the picture: each that sees one stands in the project twice, `foal` and `foal_half`.
VARIANTS: dict[str, Tasks] = {
    "audio_only": Tasks(video=False),
    "video_only": Tasks(audio=False),
    "baseline": Tasks(),
    "avel": Tasks(avel=True),
    "mem": Tasks(mem=True),
    "foal": Tasks(avel=True, mem=True),
}


def variant_names() -> list[str]:
    """Return every variant's name: each one, then those that see pictures on the half picture."""
    return [*VARIANTS, *(f"{name}{HALF}" for name, tasks in VARIANTS.items() if tasks.video)]


def picture_of(variant: str, picture: Picture) -> Picture:
    """Return the picture that a variant looks at: the half one if its name says so, else `picture` of the params."""
    return "half" if variant.endswith(HALF) else picture
