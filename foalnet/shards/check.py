"""Compares one shard or a folder of shards with the index, byte by byte, and names what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foalnet.artifact.seal import command
from foalnet.core.errors import DataError, reason
from foalnet.core.files import sha256_file
from foalnet.shards.format import KINDS, valid_key
from foalnet.shards.index import INDEX, Index, ShardEntry
from foalnet.shards.walk import Damage, ranges

MAX_FAULTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One file with a fault: its path in the folder, the dialogue in it ("" for none), and what is wrong."""

    path: str
    group: str
    what: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        return f"{self.path}{f' (dialogue {self.group})' if self.group else ''}: {self.what}"


def entry_of(path: Path, *, session: str, group: str) -> ShardEntry:
    """Return the index entry of a finished tar, with the bare file name as `path`; Damage if a sample is incomplete."""
    runs = ranges(path)
    fault = _order_fault(runs, [run[0] for run in runs])
    if fault:
        raise Damage(fault[1])
    return ShardEntry(
        path=path.name,
        session=session,
        group=group,
        sha256=sha256_file(path),
        size=path.stat().st_size,
        count=len(runs),
        keys=[run[0] for run in runs],
        ends=[run[3] for run in runs],
        digests=[_digest(path, start, end) for _, _, start, end in runs],
    )


def _digest(path: Path, start: int, end: int) -> str:
    """Return 16 hex digits of the SHA-256 of the file's bytes [start, end)."""
    with path.open("rb") as handle:
        handle.seek(start)
        return hashlib.sha256(handle.read(end - start)).hexdigest()[:16]


def _order_fault(runs: Sequence[tuple[str, tuple[str, ...], int, int]], keys: Sequence[str]) -> tuple[str, str] | None:
    """Compare a tar's runs of members with the expected keys; return (key, what is wrong) or None."""
    for position, key in enumerate(keys):
        if position >= len(runs):
            return key, f"key {key} is missing"
        actual, extensions, *_ = runs[position]
        if actual != key:
            return key, f"expected key {key}, the tar has {actual!r}"
        if extensions not in KINDS:
            return key, f"key {key} has the members {', '.join(extensions)}"
        if not valid_key(key):
            return key, f"{key!r} is not a valid key"
    if len(runs) > len(keys):
        return runs[len(keys)][0], f"key {runs[len(keys)][0]!r} is in the tar but not in the index"
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        return twice, f"key {twice} is in it twice"
    return None


def fault_of(path: Path, entry: ShardEntry) -> str | None:
    """Check every byte of one shard; return None, or what is wrong with which key."""
    try:
        if not path.is_file():
            return f"the shard is missing (its first key is {entry.keys[0]})"
        size = path.stat().st_size
        if size != entry.size or sha256_file(path) != entry.sha256:
            return _damaged_key(path, entry, size)
        fault = _order_fault(ranges(path), entry.keys)
    except Damage as error:
        return f"refused: {error}"
    except OSError as error:
        return f"the shard cannot be read: {reason(error)}"
    return f"refused: {fault[1]}" if fault else None


def odd_size(size: int, expected: int) -> str:
    """Return a message that a file is shorter or longer than its index says, in bytes."""
    return f"it is {'shorter' if size < expected else 'longer'} than its index says: {size:,} of {expected:,} bytes"


def _damaged_key(path: Path, entry: ShardEntry, size: int) -> str:
    """Return what is wrong with the first key with bytes that differ from the index."""
    length = "" if size == entry.size else f"{odd_size(size, entry.size)}; "
    start = 0
    for key, end, digest in zip(entry.keys, entry.ends, entry.digests, strict=True):
        if size < end:
            state = "is missing" if size <= start else "is cut"
            return f"{length}key {key} {state}"
        if _digest(path, start, end) != digest:
            return f"{length}key {key} is altered"
        start = end
    if size < entry.size:
        return f"{length}its keys are intact, the end mark after the last one, {entry.keys[-1]}, is cut"
    return f"{length}the bytes after its last key {entry.keys[-1]} are altered"


def faults_of(folder: Path, index: Index) -> list[Fault]:
    """Compare every byte of a folder with its index; return every fault, also missing and extra shards."""
    listed = {entry.path for entry in index.shards}
    present = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix == ".tar" or not path.name.startswith("."))
    )
    extra = [name for name in present if name != INDEX and name not in listed]
    faults = [Fault(path=name, group="", what="the file is not in the index") for name in extra]
    for entry in index.shards:
        what = fault_of(folder / entry.path, entry)
        if what is not None:
            faults.append(Fault(path=entry.path, group=entry.group, what=what))
    return faults


def check_folder(folder: Path, index: Index) -> None:
    """Raise DataError (exit 3) if a folder differs from its index.

    The error names the shards, the first damaged key of each, and the dialogues to stage again.
    """
    faults = faults_of(folder, index)
    if not faults:
        return
    more = len(faults) - MAX_FAULTS_SHOWN
    shown = [*map(str, faults[:MAX_FAULTS_SHOWN]), *([f"and {more} more"] if more > 0 else [])]
    what = "the shards differ from their index:\n  " + "\n  ".join(shown)
    raise DataError(what, file=folder / faults[0].path, action=remedy(faults, index.corpus))


def remedy(faults: Sequence[Fault], corpus: str) -> str:
    """Return the command that repairs a shard folder, and which dialogues it stages again."""
    groups = sorted({fault.group for fault in faults if fault.group})
    what_to_do = f"stages {', '.join(groups)} again and keeps the rest" if groups else "removes the extra files"
    return f"run `{command(f'shards@{corpus}')}`: it {what_to_do}"
