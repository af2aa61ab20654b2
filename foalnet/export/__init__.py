"""Writes staged utterances and features of clips as files that other programs read: JPEG, FLAC, npy, parquet."""

from foalnet.export.corpus import FORMATS, export_corpus
from foalnet.export.place import need_empty, warning_of
from foalnet.export.tables import need_parquet

__all__ = ["FORMATS", "export_corpus", "need_empty", "need_parquet", "warning_of"]
