"""The check that a width can be cut into attention heads, for methods that use torch's own attention."""

from __future__ import annotations

from foalnet.core.errors import UsageError


def check_heads(width: int, heads: int, method: str) -> None:
    """Raise UsageError (exit 2) if a method's width is no multiple of its heads."""
    if width % heads:
        raise UsageError(
            f"a width of {width} cannot be cut into {heads} attention heads",
            action=f"make methods.{method}.width a multiple of methods.{method}.heads",
        )
