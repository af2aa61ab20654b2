"""Reads samples from shards: verifies the folder first, streams by webdataset, and checks every member."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from foalnet.artifact.seal import command
from foalnet.core.errors import DataError
from foalnet.core.files import not_read
from foalnet.shards.check import check_folder
from foalnet.shards.index import ShardEntry, read_index
from foalnet.shards.sample import Sample

BLOCK_BYTES = 1 << 20


class CheckedStream:
    """A file object that checks the bytes it returns against the index, key by key."""

    def __init__(self, file: BinaryIO, entry: ShardEntry) -> None:
        self.whole = 0
        """The number of keys, from the first, with bytes that matched the index."""
        self._file, self._entry, self._sha256 = file, entry, hashlib.sha256()
        self._at, self._next_key = 0, 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as a file does."""
        data = self._file.read(size)
        view = memoryview(data)
        while len(view) and self._next_key < self._entry.count:
            part = view[: self._entry.ends[self._next_key] - self._at]
            self._sha256.update(part)
            self._at += len(part)
            view = view[len(part) :]
            if self._at == self._entry.ends[self._next_key]:
                self._end_key()
        return data

    def _end_key(self) -> None:
        if self.whole == self._next_key and self._sha256.hexdigest()[:16] == self._entry.digests[self._next_key]:
            self.whole += 1
        self._next_key, self._sha256 = self._next_key + 1, hashlib.sha256()

    def read_on(self) -> bool:
        """Read to the end; return whether every key matched."""
        while self.read(BLOCK_BYTES):
            pass
        return self.whole == self._entry.count


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSet:
    """A verified folder of shards; `entries` in path order, one per dialogue."""

    folder: Path
    corpus: str
    entries: tuple[ShardEntry, ...]
    stage: str | None = None

    @property
    def keys(self) -> list[str]:
        """Every utterance key, sorted."""
        return sorted(key for entry in self.entries for key in entry.keys)

    def samples(self, sessions: Iterable[str] | None = None) -> Iterator[Sample]:
        """Yield every sample of all sessions, or of those named, in path and key order."""
        wanted = None if sessions is None else set(sessions)
        for entry in self.entries:
            if wanted is None or entry.session in wanted:
                yield from self._shard(entry)

    def _shard(self, entry: ShardEntry) -> Iterator[Sample]:
        """Yield the samples of one shard through webdataset, checked against the index."""
        from webdataset import handlers, tariterators, utils

        # The setting of WDS_SECURE=1. This package neither decodes nor opens addresses through webdataset; the flag
        # also forbids it to other code in this process.
        utils.enforce_security = True
        path = self.folder / entry.path
        intact = 0
        try:
            with path.open("rb") as file:
                stream = CheckedStream(file, entry)
                files = tariterators.tar_file_expander(
                    [{"url": entry.path, "stream": stream}], handler=handlers.reraise_exception
                )
                raws = tariterators.group_by_keys(files, lcase=False, handler=handlers.reraise_exception)
                while (raw := _next_sample(raws, stream)) is not None:
                    if intact >= stream.whole or raw["__key__"] != entry.keys[intact]:
                        break
                    intact += 1
                    yield self._sample(entry, raw)
                else:
                    if intact == entry.count:
                        return
        except OSError as error:
            raise not_read(error, path) from error
        raise self._error(
            f"changed while it was read: expected {entry.count} samples, {intact} were intact",
            entry,
            entry.keys[min(intact, entry.count - 1)],
        )

    def _sample(self, entry: ShardEntry, raw: dict[str, Any]) -> Sample:
        """Return one sample; DataError if its members differ from those that its metadata declares."""
        members: dict[str, bytes] = {name: data for name, data in raw.items() if not name.startswith("__")}
        sample = Sample(key=raw["__key__"], shard=entry.path, members=members)
        try:
            sample.check()
        except DataError as error:
            raise self._error(error.what, entry, sample.key) from error
        return sample

    def _error(self, what: str, entry: ShardEntry, key: str) -> DataError:
        return DataError(
            f"{entry.path} (dialogue {entry.group}): {what}",
            file=self.folder / entry.path,
            utterance=key,
            action=f"run `{command(f'shards@{self.corpus}')}`: it stages {entry.group} again",
        )


def _next_sample(raws: Iterator[dict[str, Any]], stream: CheckedStream) -> dict[str, Any] | None:
    """Return the next sample; None at the end, and if the bytes differ from the index, whatever error that caused."""
    try:
        return next(raws, None)
    except OSError:
        raise
    except Exception:
        if stream.read_on():
            raise
        return None


def open_shards(folder: Path, *, corpus: str | None = None) -> ShardSet:
    """Verify every byte of a shard folder against its index and return the set of its samples.

    DataError (exit 3) names each shard that is missing, extra, truncated or altered, its first damaged key and the
    dialogue to stage again. It is also raised if the index was altered or is of another corpus than `corpus`.

    >>> shards = open_shards(Path("data/drawn/shards"))
    >>> shards.corpus, sorted(next(shards.samples()).members)
    ('drawn', ['face.mjpg', 'flac', 'half.mjpg', 'json'])
    """
    index = read_index(folder, corpus=corpus)
    check_folder(folder, index)
    return ShardSet(folder=folder, corpus=index.corpus, entries=tuple(index.shards))
