"""Maps raw labels to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def class_of(classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return raw label -> class, the inverse of `classes`; each raw label belongs to one class."""
    return {raw: name for name, raws in classes.items() for raw in raws}
