"""What a run could not stage, dialogue by dialogue: the error shown is the first one's, here are all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foalnet.clips.plan import Job
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.ledger import Ledger


def note_failures(errors: Mapping[int, Exception], jobs: Sequence[Job], place: Path) -> None:
    """Write a ledger of the dialogues that failed, `errors` by position in `jobs`; without one no such file is left."""
    if not errors:
        place.unlink(missing_ok=True)
        return
    ledger = Ledger()
    for position, error in errors.items():
        ledger.drop(jobs[position].dialogue, getattr(error, "reason", "dialogue_failed"), str(error))
    publish_bytes(place, json_bytes({"counts": ledger.counts(), "entries": ledger.rows()}))
