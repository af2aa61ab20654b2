"""Turns an emotion corpus, as it was downloaded, into a report with verifiable figures.

The public names of docs/predict.md stand here and are imported when they are first used: `import foalnet` itself loads
neither torch nor anything else that takes time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foalnet.artifact.table import read_manifest
    from foalnet.config import Params, Settings, load_params, load_settings
    from foalnet.core.errors import DataError, FoalnetError, Interrupted, MachineError, UsageError
    from foalnet.core.records import Utterance
    from foalnet.evidence.scoring import Score, compare, score
    from foalnet.evidence.stats import Difference, Interval
    from foalnet.predict import ClipPrediction, Model, load
    from foalnet.shards import Sample, ShardSet, open_shards

    __version__: str

__all__ = [
    "ClipPrediction",
    "DataError",
    "Difference",
    "FoalnetError",
    "Interrupted",
    "Interval",
    "MachineError",
    "Model",
    "Params",
    "Sample",
    "Score",
    "Settings",
    "ShardSet",
    "UsageError",
    "Utterance",
    "__version__",
    "compare",
    "load",
    "load_params",
    "load_settings",
    "open_shards",
    "read_manifest",
    "score",
]

_HOMES = {
    "foalnet.config": ("Params", "Settings", "load_params", "load_settings"),
    "foalnet.core.errors": ("DataError", "FoalnetError", "Interrupted", "MachineError", "UsageError"),
    "foalnet.predict": ("ClipPrediction", "Model", "load"),
    "foalnet.core.records": ("Utterance",),
    "foalnet.evidence.scoring": ("Score", "compare", "score"),
    "foalnet.shards": ("Sample", "ShardSet", "open_shards"),
    "foalnet.evidence.stats": ("Difference", "Interval"),
    "foalnet.artifact.table": ("read_manifest",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("foalnet")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'foalnet' has no attribute '{name}'; its public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
