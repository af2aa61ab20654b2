"""A locale that is unlike C, compiled for the tests where the system can."""

from __future__ import annotations

import subprocess
from pathlib import Path


def turkish(folder: Path, encoding: str) -> dict[str, str] | None:
    """Return the environment of a Turkish locale compiled into a folder; None where this system cannot compile it."""
    name = f"tr_TR.{encoding}"
    try:
        command = ["localedef", "-i", "tr_TR", "-f", encoding, str(folder / name)]
        subprocess.run(command, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return {"LOCPATH": str(folder), "LC_ALL": name, "LANGUAGE": "tr"}
