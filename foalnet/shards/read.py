"""Shards to samples: verified whole before the first sample, streamed by webdataset, every member accounted for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from foalnet.artifact.seal import command
from foalnet.core.errors import DataError
from foalnet.core.files import not_read
from foalnet.core.records import Sample
from foalnet.shards.check import check_folder
from foalnet.shards.index import ShardEntry, read_index
from foalnet.shards.members import declared, valid_offsets

BLOCK_BYTES = 1 << 20


class Checked:
    """A shard's bytes as they are read, held to the index key by key: what is checked is what is used."""

    def __init__(self, file: BinaryIO, entry: ShardEntry) -> None:
        self.whole = 0
        """How many keys, from the first, came with the bytes that the index names."""
        self._file, self._entry, self._sha256 = file, entry, hashlib.sha256()
        self._at, self._next = 0, 0

    def read(self, size: int = -1) -> bytes:
        """Read on, as a file does."""
        data = self._file.read(size)
        view = memoryview(data)
        while len(view) and self._next < self._entry.count:
            part = view[: self._entry.ends[self._next] - self._at]
            self._sha256.update(part)
            self._at += len(part)
            view = view[len(part) :]
            if self._at == self._entry.ends[self._next]:
                self._end_key()
        return data

    def _end_key(self) -> None:
        if self.whole == self._next and self._sha256.hexdigest()[:16] == self._entry.digests[self._next]:
            self.whole += 1
        self._next, self._sha256 = self._next + 1, hashlib.sha256()

    def read_on(self) -> bool:
        """Read to the end; tell whether every key came whole."""
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
        """Stream the samples of all sessions, or of those named, in path and key order; none is ever left out."""
        wanted = None if sessions is None else set(sessions)
        for entry in self.entries:
            if wanted is None or entry.session in wanted:
                yield from self._shard(entry)

    def _shard(self, entry: ShardEntry) -> Iterator[Sample]:
        """Stream one shard through webdataset and hold it to the index."""
        from webdataset import handlers, tariterators, utils

        # What WDS_SECURE=1 sets before an import. We neither decode nor open addresses through webdataset; this
        # keeps it so for anything that does in this process.
        utils.enforce_security = True
        path = self.folder / entry.path
        found = 0
        try:
            with path.open("rb") as file:
                stream = Checked(file, entry)
                files = tariterators.tar_file_expander(
                    [{"url": entry.path, "stream": stream}], handler=handlers.reraise_exception
                )
                raws = tariterators.group_by_keys(files, lcase=False, handler=handlers.reraise_exception)
                while (raw := _next(raws, stream)) is not None:
                    if found >= stream.whole or raw["__key__"] != entry.keys[found]:
                        break
                    found += 1
                    yield self._sample(entry, raw)
                else:
                    if found == entry.count:
                        return
        except OSError as error:
            raise not_read(error, path, stage=self.stage) from error
        raise self._error(
            f"changed while it was read: {entry.count} samples belong in it, {found} came whole",
            entry,
            entry.keys[min(found, entry.count - 1)],
        )

    def _sample(self, entry: ShardEntry, raw: dict[str, Any]) -> Sample:
        """Check one sample's members against what its own metadata declares."""
        key = raw["__key__"]
        members: dict[str, bytes] = {name: data for name, data in raw.items() if not name.startswith("__")}
        try:
            meta = json.loads(members["json"])
        except (KeyError, ValueError, RecursionError) as error:
            raise self._error("its metadata is no JSON", entry, key) from error
        wanted = declared(meta)
        if wanted is None or tuple(members) != wanted or meta.get("key") != key:
            told = "nothing" if wanted is None else ", ".join(wanted)
            raise self._error(f"it declares {told} and has {', '.join(members)}", entry, key)
        video = meta.get("video")
        if video is not None:
            frames = len(video["times_s"]) if isinstance(video.get("times_s"), list) else -1
            for name in ("face", "half"):
                if not valid_offsets(video.get(f"{name}_offsets"), frames, len(members[f"{name}.mjpg"])):
                    raise self._error(f"its {name} pictures are not cut into {frames} frames", entry, key)
        return Sample(key=key, shard=entry.path, members=members)

    def _error(self, what: str, entry: ShardEntry, key: str) -> DataError:
        return DataError(
            f"{entry.path} (dialogue {entry.group}): {what}",
            file=self.folder / entry.path,
            utterance=key,
            stage=self.stage,
            action=f"run `{command(f'shards@{self.corpus}')}`: it stages {entry.group} again",
        )


def _next(raws: Iterator[dict[str, Any]], stream: Checked) -> dict[str, Any] | None:
    """Return the next sample, None at the end and where the bytes are not the index's, whatever was made of them."""
    try:
        return next(raws, None)
    except OSError:
        raise
    except Exception:
        if stream.read_on():
            raise
        return None


def open_shards(folder: Path, *, corpus: str | None = None, stage: str | None = None) -> ShardSet:
    """Verify a shard folder against its index, every byte of it, and give access to its samples.

    DataError (exit 3) names each shard that is missing, extra, truncated or altered, its first damaged key and the
    dialogue to stage again; or says that the index was altered, or that it is of another corpus than `corpus`.
    """
    index = read_index(folder, corpus=corpus, stage=stage)
    check_folder(folder, index, stage=stage)
    return ShardSet(folder=folder, corpus=index.corpus, entries=tuple(index.shards), stage=stage)
