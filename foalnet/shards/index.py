"""The index of a shard folder: which shards and samples it has, with digests; written last."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from foalnet.artifact.seal import command, open_sealed, sealed_bytes
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes
from foalnet.shards.format import valid_key

INDEX = "index.json"
# Schema 2: a sample's metadata has one type per key, no null, and the class.
SCHEMA: Literal[2] = 2
SHARD_PATH = re.compile(r"([A-Za-z0-9_-]+)/[0-9]{6}\.tar")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """The index entry of one shard; `group` is its dialogue.

    `ends[i]` and `digests[i]` are the end (byte) and the first 16 hex digits of the SHA-256 of key i's bytes in the
    tar, so that damage can be attributed to a key.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    path: str
    session: str
    group: str
    sha256: str
    size: int
    count: int
    keys: list[str]
    ends: list[int]
    digests: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """The whole index: shards sorted by path, every key once."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: Literal[2]
    corpus: str
    shards: list[ShardEntry]


def index_bytes(folder: Path, corpus: str, entries: Iterable[ShardEntry]) -> bytes:
    """Return the sealed index of the entries without reading the shards; DataError (exit 3) if it is inconsistent."""
    index = Index(schema=SCHEMA, corpus=corpus, shards=sorted(entries, key=lambda e: e.path))
    _check_sense(index, folder / INDEX)
    return sealed_bytes(INDEX, asdict(index))


def read_index(folder: Path, *, corpus: str | None = None) -> Index:
    """Read and check the index without the shards.

    DataError (exit 3) if it is absent, altered, malformed, inconsistent or of another corpus than `corpus`;
    MachineError (exit 4) if it cannot be read.
    """
    path = folder / INDEX
    if not path.exists():
        raise DataError(
            "these shards have no index: staging did not finish, or nothing was staged here",
            file=path,
            action="run `dvc repro`: it does not stage finished dialogues again",
        )
    index = open_sealed(path, Index, again=f"shards@{corpus or 'CORPUS'}", corpus=corpus)
    _check_sense(index, path)
    return index


def _index_error(what: str, path: Path) -> DataError:
    return DataError(what, file=path, action=f"run `{command('shards@CORPUS')}`")


def _check_sense(index: Index, path: Path) -> None:
    """Raise DataError (exit 3) if paths, counts, order or keys of the index are inconsistent."""

    def must(condition: bool, what: str) -> None:
        if not condition:
            raise _index_error(f"the index contradicts itself: {what}", path)

    paths = [e.path for e in index.shards]
    must(paths == sorted(set(paths)), "its shards are not sorted, or one is listed twice")
    seen: dict[str, str] = {}
    for entry in index.shards:
        match = SHARD_PATH.fullmatch(entry.path)
        must(
            match is not None and match[1] == entry.session,
            f"{entry.path!r} is not in session {entry.session!r}",
        )
        must(
            entry.count == len(entry.keys) == len(entry.ends) == len(entry.digests) and entry.count > 0,
            f"{entry.path}: count and lists differ",
        )
        must(re.fullmatch(r"[0-9a-f]{64}", entry.sha256) is not None, f"{entry.path}: not a SHA-256")
        must(
            [0, *entry.ends] == sorted({0, *entry.ends}) and entry.ends[-1] < entry.size,
            f"{entry.path}: the ends of its keys are not ascending within its size",
        )
        for key in entry.keys:
            must(valid_key(key), f"{entry.path}: {key!r} is not a valid key")
            must(key not in seen, f"key {key} is in {entry.path} and {seen.get(key)}")
            seen[key] = entry.path


def as_entry(data: Any) -> ShardEntry:
    """Return the entry for its parsed JSON; ValueError if it does not have the entry's fields."""
    return TypeAdapter(ShardEntry).validate_json(json_bytes(data))
