"""Predicts class probabilities for a user's clips, with the same preprocessing as the training shards.

`Model` and `load` are imported at their first use, so that arguments are checked before torch is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foalnet.predict.answer import ClipPrediction
from foalnet.predict.request import Request, check_files, check_model

if TYPE_CHECKING:
    from foalnet.predict.model import Model, load

__all__ = ["ClipPrediction", "Model", "Request", "check_files", "check_model", "load"]


def __getattr__(name: str) -> Any:
    """Import the names that need torch at their first use (PEP 562)."""
    if name in ("Model", "load"):
        from foalnet.predict import model

        return getattr(model, name)
    raise AttributeError(f"module 'foalnet.predict' has no attribute '{name}'")
