"""Samples to a tar that any WebDataset reader takes and that is the same bytes for the same samples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foalnet.errors import DataError
from foalnet.files import publishing
from foalnet.records import Sample
from foalnet.shards.check import entry_of
from foalnet.shards.index import ShardEntry
from foalnet.shards.members import KEY_MAX, KINDS, valid_key


def write_shard(path: Path, samples: Iterable[Sample], *, session: str, group: str) -> ShardEntry:
    """Write the samples, sorted by key, into the tar `path`, atomically, and return its index entry.

    The entry's `path` is the bare file name; whoever publishes the shard replaces it. DataError (exit 3) for a key
    outside `[A-Za-z0-9_-]+`, a key that comes twice, a member that is not allowed, or no sample at all.
    """
    from webdataset.writer import TarWriter

    ordered = sorted(samples, key=lambda sample: sample.key)
    _check(path, ordered)
    with publishing(path) as temp, temp.open("wb") as handle:
        # mtime must be the int 0: the time of day or a float would change the bytes.
        writer = TarWriter(handle, encoder=False, mtime=0, compress=False)
        for sample in ordered:
            writer.write({"__key__": sample.key, **sample.members})
        writer.close()
    return entry_of(path, session=session, group=group)


def _check(path: Path, samples: list[Sample]) -> None:
    """Refuse what a reader would merge, skip or execute."""
    if not samples:
        raise DataError("a shard needs at least one sample", file=path, stage="shards", action="report this as a bug")
    for before, sample in zip([None, *samples], samples, strict=False):
        if not valid_key(sample.key):
            raise DataError(
                f"the key {sample.key!r} cannot name a sample",
                file=path,
                utterance=sample.key,
                stage="shards",
                action=f"let the corpus reader give keys of A-Z a-z 0-9 _ - (at most {KEY_MAX} characters)",
            )
        if before is not None and before.key == sample.key:
            raise DataError(
                "two samples have the same key",
                file=path,
                utterance=sample.key,
                stage="shards",
                action="let the corpus reader give each utterance a key of its own",
            )
        if tuple(sorted(sample.members)) not in KINDS:
            raise DataError(
                f"a sample with the members {', '.join(sorted(sample.members))} is not allowed",
                file=path,
                utterance=sample.key,
                stage="shards",
                action=f"allowed are {' or '.join(', '.join(kind) for kind in KINDS)}",
            )
