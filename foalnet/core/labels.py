"""From raw labels to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def class_of(classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Invert class -> raw labels; params hold each raw label once."""
    return {raw: name for name, raws in classes.items() for raw in raws}
