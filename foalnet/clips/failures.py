"""Writes the ledger of the dialogues that a run could not stage; the error message shows only the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foalnet.clips.plan import Job
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.ledger import Ledger


def note_failures(errors: Mapping[int, Exception], jobs: Sequence[Job], path: Path) -> None:
    """Write the failed dialogues to `path`, or delete it if `errors` (by position in `jobs`) is empty."""
    if not errors:
        path.unlink(missing_ok=True)
        return
    ledger = Ledger()
    for position, error in errors.items():
        ledger.drop(jobs[position].dialogue, getattr(error, "reason", "dialogue_failed"), str(error))
    publish_bytes(path, json_bytes({"counts": ledger.counts(), "entries": ledger.rows()}))
