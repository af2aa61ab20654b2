"""Stores the speed of a verb on this machine in `work/runs/`, for the forecast of its next run; never in an output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes, publish_bytes, read_json


def speed_path(settings: Settings, name: str) -> Path:
    """Return the path of the stored speed of a verb."""
    return settings.work / "runs" / f"{name}.json"


def write_speed(settings: Settings, name: str, facts: Mapping[str, Any]) -> None:
    """Store the speed of a run; it replaces the previous one."""
    publish_bytes(speed_path(settings, name), json_bytes(dict(facts)))


def read_speed(settings: Settings, name: str) -> dict[str, Any]:
    """Return the stored speed of the last run; {} if there is none or it cannot be read."""
    try:
        note = read_json(speed_path(settings, name))
    except DataError:
        return {}
    return note if isinstance(note, dict) else {}
