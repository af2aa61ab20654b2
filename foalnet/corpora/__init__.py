"""The registry of corpus readers. A corpus takes one file, one line here and one test (docs/add-a-corpus.md)."""

from __future__ import annotations

import importlib

from foalnet.config import nearest
from foalnet.core.errors import UsageError
from foalnet.corpora.base import Reader

__all__ = ["READERS", "Reader", "get_reader"]

# Name of a reader and of its folder -> its class. A reader is imported on use, so that the stages of a corpus depend on
# the code of its own reader only.
READERS = {
    "iemocap": "Iemocap",
    "ravdess": "Ravdess",
}


def get_reader(name: str) -> Reader:
    """Return the reader of that name (UsageError, exit 2, names the nearest one)."""
    if name not in READERS:
        raise UsageError(
            f"no corpus reader '{name}'; {nearest(name, READERS)}",
            action="name one of these as `reader` (docs/add-a-corpus.md describes how to write another)",
        )
    reader: Reader = getattr(importlib.import_module(f"{__name__}.{name}"), READERS[name])()
    return reader
