"""Forecasts what a stage would do: the work left, its time by earlier runs on this machine, its disk space.

Nothing is written and no media file is opened. A time is given only where an earlier run on this machine was measured
(`work/runs/`); otherwise it is not known.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.artifact.table import read_manifest
from foalnet.clips.plan import chosen
from foalnet.config import Params
from foalnet.core.paths import Paths
from foalnet.core.progress import duration
from foalnet.corpora.inventory import read_inventory

# 16 kHz, 16 bit, one channel: estimates the length of sound by file size before a manifest exists.
SOUND_BYTES_PER_S = 32_000
# The work cache, data/ and DVC's cache each hold the shards once.
COPIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Forecast of a verb. `steps`: lines of what is left; times in seconds, disk in bytes, None where not known."""

    verb: str
    steps: tuple[str, ...]
    left: int
    time_s: float | None
    measured: str
    disk_bytes: int | None
    free_bytes: int

    def __str__(self) -> str:
        """Return the text for a terminal."""
        time = "not known yet: no run of it was measured on this machine"
        if not self.left:
            time = "seconds: what is done is only packed and published"
        elif self.time_s is not None:
            time = f"about {duration(self.time_s)} ({self.measured})"
        disk = "not known yet" if self.disk_bytes is None else f"up to {size(self.disk_bytes)}"
        lines = [f"{self.verb} would run:", *(f"  {step}" for step in self.steps)]
        return "\n".join(
            [*lines, f"time: {time}", f"disk: {disk}; {size(self.free_bytes)} free", "nothing was written"]
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def size(count: int) -> str:
    """Return bytes as text: 640 kB, 12.3 MB, 4.5 GB.

    >>> size(640_000), size(12_300_000), size(4_500_000_000)
    ('640 kB', '12.3 MB', '4.5 GB')
    """
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def free_bytes(folder: Path) -> int:
    """Return the free bytes where `folder` is, or would be made."""
    return shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free


def speech_seconds(params: Params, paths: Paths) -> float | None:
    """Return how long the utterances to stage are together: from the manifest, else from the sizes of the inventory.

    None where neither is recorded.
    """
    if paths.manifest.is_file():
        rows = chosen(read_manifest(paths.manifest, corpus=params.corpus), params.shards.utterances)
        return sum(u.end_s - u.start_s for u in rows)
    if paths.inventory.is_file():
        files = read_inventory(paths.inventory, corpus=params.corpus).files
        return sum(entry.size for entry in files if entry.role == "audio") / SOUND_BYTES_PER_S
    return None
