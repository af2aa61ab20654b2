"""How fast a verb was on this machine: noted in `work/runs/` for the next run's forecast, never in an output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes, publish_bytes, read_json


def speed_note(settings: Settings, name: str) -> Path:
    """Return where the note of a verb's run lies."""
    return settings.work / "runs" / f"{name}.json"


def note_speed(settings: Settings, name: str, facts: Mapping[str, Any]) -> None:
    """Note a run's speed over the last one's."""
    publish_bytes(speed_note(settings, name), json_bytes(dict(facts)))


def noted_speed(settings: Settings, name: str) -> dict[str, Any]:
    """Return what the last run noted; {} where there is none that can be read."""
    try:
        note = read_json(speed_note(settings, name))
    except DataError:
        return {}
    return note if isinstance(note, dict) else {}
