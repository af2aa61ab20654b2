"""The registry of corpus readers. A corpus takes one file, one line here and one test (docs/add-a-corpus.md)."""

from __future__ import annotations

import importlib

from foalnet.config import Params, nearest
from foalnet.core.errors import UsageError
from foalnet.corpora.base import Reader

__all__ = ["READERS", "Reader", "get_reader", "reader_of"]

# Name of a reader and of its folder -> its class. A reader is imported on use, so that the stages of a corpus depend on
# the code of its own reader only.
READERS = {
    "cremad": "CremaD",
    "iemocap": "Iemocap",
    "meld": "Meld",
    "ravdess": "Ravdess",
    "table": "Table",
}


def reader_of(params: Params) -> Reader:
    """Return the reader of a corpus; UsageError (exit 2) as `get_reader`."""
    return get_reader(params.reader, table=params.table, labels=params.manifest.labels)


def get_reader(name: str, *, table: str | None = None, labels: str | None = None) -> Reader:
    """Return the reader of that name.

    `table`: path of the corpus' table below its root, for the reader `table`. `labels`: which of the corpus' labels is
    the raw label, for a reader that has several. UsageError (exit 2) names the nearest reader, or says that this one
    takes no table or no choice of labels.
    """
    if name not in READERS:
        raise UsageError(
            f"no corpus reader '{name}'; {nearest(name, READERS)}",
            action="name one of these as `reader` (docs/add-a-corpus.md describes how to write another)",
        )
    kind = getattr(importlib.import_module(f"{__name__}.{name}"), READERS[name])
    options = {"table": table, "labels": labels}
    takes = getattr(kind, "takes", ())
    for option, value in options.items():
        if value is not None and option not in takes:
            raise UsageError(f"reader {name} takes no {option}", action=f"leave `{option}` out, or use another reader")
    reader: Reader = kind(**{option: options[option] for option in takes})
    return reader
