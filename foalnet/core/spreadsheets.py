"""Makes text safe for the cells of a spreadsheet."""

from __future__ import annotations

from foalnet.core.errors import printable

# A spreadsheet would read a cell that begins so as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(text: str) -> str:
    """Return text for a cell: printable, and with an apostrophe before what would begin a formula.

    >>> safe("=1+1.wav"), safe("clip.wav")
    ("'=1+1.wav", 'clip.wav')
    """
    shown = printable(text)
    return f"'{shown}" if text.startswith(FORMULA) else shown
