"""Words that may be shown to others: logs and messages name no home folder and carry no password or key."""

from __future__ import annotations

import re
from pathlib import Path


def discreet(text: str) -> str:
    """Return `text` with the home folder as `~`, and addresses without the name, word and key in them."""
    text = re.sub(r"(\w[\w+.-]*://)[^/@\s]+@", r"\1…@", text)
    text = re.sub(r"(\w[\w+.-]*://[^?\s]+)\?\S+", r"\1?…", text)
    try:
        home = str(Path.home())
    except RuntimeError:
        return text  # a machine that does not say where home is cannot give it away
    return re.sub(rf"{re.escape(home)}(?=[/\s,;:)'\"]|$)", "~", text) if len(home) > 1 else text
