"""The corpus registry: one file, one line here and one test per corpus (docs/add-a-corpus.md)."""

from __future__ import annotations

from foalnet.config import nearest
from foalnet.corpora.base import Reader
from foalnet.corpora.iemocap import Iemocap
from foalnet.corpora.ravdess import Ravdess
from foalnet.errors import UsageError

__all__ = ["READERS", "Reader", "get_reader"]

READERS: dict[str, type[Reader]] = {
    "iemocap": Iemocap,
    "ravdess": Ravdess,
}


def get_reader(name: str) -> Reader:
    """Return the reader of that name (UsageError, exit 2, names the nearest one)."""
    if name not in READERS:
        raise UsageError(
            f"no corpus reader '{name}'; {nearest(name, READERS)}",
            action="name one of these as `reader` (docs/add-a-corpus.md tells how to write another)",
        )
    return READERS[name]()
