"""From raw labels to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foalnet.errors import UsageError


def class_of(classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Invert class -> raw labels; a raw label in two classes is refused (UsageError, exit 2)."""
    inverse: dict[str, str] = {}
    for name, raws in classes.items():
        for raw in raws:
            if inverse.setdefault(raw, name) != name:
                raise UsageError(
                    f"raw label '{raw}' is in classes '{inverse[raw]}' and '{name}'",
                    stage="manifest",
                    action="name each raw label once under manifest.classes",
                )
    return inverse
