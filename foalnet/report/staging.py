"""How much of the picture staging could use: faces found, bridged, missing."""

from __future__ import annotations

from foalnet.report.gather import Facts
from foalnet.report.view import Section


def staging(facts: Facts) -> Section | None:
    """Return the coverage of faces, or None where nothing was staged from video."""
    return None
