"""Removes home folders, user names, passwords and keys from logs and messages."""

from __future__ import annotations

import re
from pathlib import Path


def redact(text: str) -> str:
    """Return `text` with the home folder as `~`, and URLs without user name, password and query.

    >>> redact("cannot reach https://me:secret@host/data?key=1")
    'cannot reach https://…@host/data?…'
    """
    text = re.sub(r"(\w[\w+.-]*://)[^/@\s]+@", r"\1…@", text)
    text = re.sub(r"(\w[\w+.-]*://[^?\s]+)\?\S+", r"\1?…", text)
    try:
        home = str(Path.home())
    except RuntimeError:
        return text  # the system does not know the home folder, so the text cannot reveal it
    return re.sub(rf"{re.escape(home)}(?=[/\s,;:)'\"]|$)", "~", text) if len(home) > 1 else text
