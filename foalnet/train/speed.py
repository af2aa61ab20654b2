"""Reads how far checkpoints in the work cache have come, and records training speeds for the next forecast.

Speeds go to `work/runs/train-<corpus>-<variant>.json`, never into an output.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from foalnet.artifact.checkpoint import META
from foalnet.config import Settings
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.train import ranks
from foalnet.train.plan import Run
from foalnet.train.state import previous_of


def reached(state: Path) -> tuple[int, bool]:
    """Return (epochs done, finished) from the header of a fold's checkpoint; (0, False) if there is none to resume.

    If the last checkpoint cannot be read, the result is that of the previous one, from which training would resume.
    """
    for file in (state, previous_of(state)):
        try:
            with safe_open(file, "np") as handle:
                facts = json.loads(handle.metadata()[META])["facts"]
                return len(facts["rows"]), bool(facts["finished"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            continue
    return 0, False


def speed_file(settings: Settings, corpus: str, variant: str) -> Path:
    """Return the path of a variant's recorded speed."""
    return settings.work / "runs" / f"train-{corpus}-{variant}.json"


@contextmanager
def measured(run: Run, settings: Settings, corpus: str, work: Path, *, device: str) -> Iterator[None]:
    """Record the speed of the epochs that the block trains, if it trains any and completes.

    Of several processes only the first measures, because it may already have removed the checkpoints.
    """
    if not ranks.is_first():
        yield
        return

    def epochs() -> int:
        return sum(reached(work / f"{fold.name}.safetensors")[0] for fold in run.folds)

    before, began = epochs(), time.monotonic()
    yield
    trained = epochs() - before
    if trained > 0:
        note = {
            "device": device,
            "epochs": trained,
            "processes": ranks.count(),
            "params": run.params.model_dump(mode="json"),
            "wall_s": round(time.monotonic() - began, 3),
            "workers": settings.workers,
        }
        publish_bytes(speed_file(settings, corpus, run.variant), json_bytes(note))
