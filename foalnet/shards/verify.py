"""Reads a whole shard folder and returns every fault in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foalnet.core.errors import DataError
from foalnet.shards.check import Fault, faults_of, remedy
from foalnet.shards.index import read_index
from foalnet.shards.read import ShardSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The result for one folder: its size according to the index, and its faults."""

    folder: Path
    corpus: str
    shards: int
    samples: int
    size: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Return one line with the amount of data read, for a folder without faults."""
        return f"{self.shards} shards, {self.samples} samples, {self.size:,} bytes: every byte as the index says"

    def error(self) -> DataError:
        """Return the error for a folder with faults: their number, and the command that repairs them."""
        count = len(self.faults)
        return DataError(
            f"{count} {'file differs' if count == 1 else 'files differ'} from the index of {self.shards} shards",
            file=self.folder,
            action=remedy(self.faults, self.corpus),
        )


def verify(folder: Path, *, corpus: str | None = None) -> Verification:
    """Check the index, every byte of every shard and every sample's metadata; write nothing and take no lock.

    DataError (exit 3) if the index itself is unusable, because only the index defines the folder's content.
    """
    index = read_index(folder, corpus=corpus)
    faults = faults_of(folder, index)
    damaged = {fault.path for fault in faults}
    for entry in index.shards:
        if entry.path in damaged:
            continue
        try:
            for _ in ShardSet(folder=folder, corpus=index.corpus, entries=(entry,)).samples():
                pass
        except DataError as error:
            what = error.what.removeprefix(f"{entry.path} (dialogue {entry.group}): ")
            faults.append(Fault(path=entry.path, group=entry.group, what=f"key {error.utterance}: {what}"))
    return Verification(
        folder=folder,
        corpus=index.corpus,
        shards=len(index.shards),
        samples=sum(entry.count for entry in index.shards),
        size=sum(entry.size for entry in index.shards),
        faults=tuple(sorted(faults, key=lambda fault: fault.path)),
    )
