"""Writes samples to a tar that any WebDataset reader accepts; the same samples give the same bytes.

They are the bytes of webdataset's own TarWriter, which would load torch: a second and 170 MB in every worker.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from foalnet.core.errors import DataError
from foalnet.core.files import publishing
from foalnet.shards.check import entry_of
from foalnet.shards.format import KEY_MAX, KINDS, valid_key
from foalnet.shards.index import ShardEntry
from foalnet.shards.sample import Sample

# The owner and mode that webdataset's TarWriter gives every member.
OWNER, MODE = "bigdata", 0o444


def write_shard(path: Path, samples: Iterable[Sample], *, session: str, group: str) -> ShardEntry:
    """Write the samples, sorted by key, atomically into the tar `path`; return its index entry.

    The entry's `path` is the bare file name; the caller that publishes the shard replaces it. DataError (exit 3) for a
    key outside `[A-Za-z0-9_-]+`, a repeated key, a member that is not allowed, or no sample at all.
    """
    ordered = sorted(samples, key=lambda sample: sample.key)
    _check(path, ordered)
    with (
        publishing(path) as temp,
        temp.open("wb") as handle,
        tarfile.open(fileobj=handle, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for sample in ordered:
            for kind in sorted(sample.members):
                data = sample.members[kind]
                tar.addfile(_tar_info(f"{sample.key}.{kind}", len(data)), io.BytesIO(data))
    return entry_of(path, session=session, group=group)


def _tar_info(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    # No time of day and no user name, so that the same samples give the same bytes.
    member.size, member.mtime, member.mode, member.uname, member.gname = size, 0, MODE, OWNER, OWNER
    return member


def _check(path: Path, samples: list[Sample]) -> None:
    """Raise DataError (exit 3) for samples that a reader would merge, skip or execute."""
    if not samples:
        raise DataError("a shard needs at least one sample", file=path, action="report this as a bug")
    for before, sample in zip([None, *samples], samples, strict=False):
        if not valid_key(sample.key):
            raise DataError(
                f"the key {sample.key!r} is not a valid sample name",
                file=path,
                utterance=sample.key,
                action=f"let the corpus reader give keys of A-Z a-z 0-9 _ - (at most {KEY_MAX} characters)",
            )
        if before is not None and before.key == sample.key:
            raise DataError(
                "two samples have the same key",
                file=path,
                utterance=sample.key,
                action="let the corpus reader give each utterance a key of its own",
            )
        if tuple(sorted(sample.members)) not in KINDS:
            raise DataError(
                f"a sample with the members {', '.join(sorted(sample.members))} is not allowed",
                file=path,
                utterance=sample.key,
                action=f"allowed are {' or '.join(', '.join(kind) for kind in KINDS)}",
            )
