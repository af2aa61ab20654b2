"""The variants: the modalities and picture that they use, and the tasks that train them (METHOD, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

from foalnet.config.blocks import HALF, Picture


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """The modalities and tasks of a variant."""

    audio: bool = True
    video: bool = True
    avel: bool = False
    mem: bool = False

    @property
    def projects(self) -> bool:
        """True if the network has AVEL's projections, by which MEM also ranks its hard negatives."""
        return self.avel or self.mem


# By name without the picture: each variant with pictures exists twice, such as `foal` and `foal_half`.
VARIANTS: dict[str, Tasks] = {
    "audio_only": Tasks(video=False),
    "video_only": Tasks(audio=False),
    "baseline": Tasks(),
    "avel": Tasks(avel=True),
    "mem": Tasks(mem=True),
    "foal": Tasks(avel=True, mem=True),
}


def variant_names() -> list[str]:
    """Return the names of all variants, then of those with pictures on the half picture."""
    return [*VARIANTS, *(f"{name}{HALF}" for name, tasks in VARIANTS.items() if tasks.video)]


def picture_of(variant: str, picture: Picture) -> Picture:
    """Return the picture that a variant uses: the half picture if its name says so, else `picture` of the params.

    >>> picture_of("foal", "face"), picture_of("foal_half", "face")
    ('face', 'half')
    """
    return "half" if variant.endswith(HALF) else picture
