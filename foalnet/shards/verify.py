"""A shard folder read again from the first byte to the last, and every fault in it, not the first alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foalnet.core.errors import DataError
from foalnet.shards.check import Fault, faults_of, remedy
from foalnet.shards.index import read_index
from foalnet.shards.read import ShardSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found in a folder: how much lies in it by its index, and what is wrong with it."""

    folder: Path
    corpus: str
    shards: int
    samples: int
    size: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Say how much was read, for a folder without a fault."""
        return f"{self.shards} shards, {self.samples} samples, {self.size:,} bytes: every byte as the index says"

    def error(self, *, stage: str) -> DataError:
        """Return the error for a folder with faults: how many, and the command that mends them."""
        count = len(self.faults)
        return DataError(
            f"{count} {'file is' if count == 1 else 'files are'} not what the index of {self.shards} shards says",
            file=self.folder,
            stage=stage,
            action=remedy(self.faults, self.corpus),
        )


def verify(folder: Path, *, corpus: str | None = None, stage: str | None = None) -> Verdict:
    """Read index, every byte of every shard and every sample's own metadata; nothing is written, no lock is taken.

    DataError (exit 3) where the index itself cannot be used: without it nobody knows what belongs here.
    """
    index = read_index(folder, corpus=corpus, stage=stage)
    faults = faults_of(folder, index)
    damaged = {fault.path for fault in faults}
    for entry in index.shards:
        if entry.path in damaged:
            continue
        try:
            for _ in ShardSet(folder=folder, corpus=index.corpus, entries=(entry,), stage=stage).samples():
                pass
        except DataError as error:
            told = error.what.removeprefix(f"{entry.path} (dialogue {entry.group}): ")
            what = f"key {error.utterance}: {told}"
            faults.append(Fault(path=entry.path, group=entry.group, what=what))
    return Verdict(
        folder=folder,
        corpus=index.corpus,
        shards=len(index.shards),
        samples=sum(entry.count for entry in index.shards),
        size=sum(entry.size for entry in index.shards),
        faults=tuple(sorted(faults, key=lambda fault: fault.path)),
    )
