"""Computes digests of files and folders as DVC does: MD5 of the bytes; for a folder, MD5 of its canonical list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from foalnet.core.errors import reason
from foalnet.core.files import not_read

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """The digests of a file: hex MD5 (for DVC), hex SHA-256 (for the project), size in bytes."""

    md5: str
    sha256: str
    size: int


def digest_of(stream: BinaryIO) -> Digest:
    """Read a stream to its end and return its digests."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    while block := stream.read(BLOCK_BYTES):
        md5.update(block)
        sha256.update(block)
        size += len(block)
    return Digest(md5=md5.hexdigest(), sha256=sha256.hexdigest(), size=size)


class Reader:
    """Reads each file once, even if several callers need it or it has several names (hard links)."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._known: dict[tuple[int, int], Digest] = {}
        self._one_at_a_time: dict[tuple[int, int], Lock] = {}
        self._guard = Lock()

    def digest(self, path: Path) -> Digest:
        """Return the digests of a file (MachineError, exit 4, if it cannot be read)."""
        try:
            facts = path.stat()
            place = (facts.st_dev, facts.st_ino)
            with self._guard:
                turn = self._one_at_a_time.setdefault(place, Lock())
            with turn:
                if place not in self._known:
                    with path.open("rb") as stream:
                        self._known[place] = digest_of(stream)
        except OSError as error:
            raise not_read(error, path) from error
        return self._known[place]

    def digests(self, paths: Iterable[Path]) -> dict[Path, Digest]:
        """Return the digests of many files, read in parallel."""
        wanted = list(paths)
        with ThreadPoolExecutor(self.workers) as pool:
            return dict(zip(wanted, pool.map(self.digest, wanted), strict=True))


def listing_bytes(files: Mapping[str, str]) -> bytes:
    """Return the bytes of DVC's object for a folder: one line of JSON with relative paths and MD5s."""
    rows = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return json.dumps(rows, sort_keys=True).encode()


def folder_md5(files: Mapping[str, str]) -> str:
    """Return the MD5 in dvc.lock for a folder of these files (relative path -> MD5)."""
    return f"{hashlib.md5(listing_bytes(files), usedforsecurity=False).hexdigest()}.dir"


def parse_listing(data: bytes) -> dict[str, str]:
    """Return relative path -> MD5 from DVC's object for a folder (ValueError if it is not one).

    >>> parse_listing(listing_bytes({"b.json": "1f", "a.json": "2e"}))
    {'a.json': '2e', 'b.json': '1f'}
    """
    rows = json.loads(data)
    try:
        return {str(row["relpath"]): str(row["md5"]) for row in rows}
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a list of a folder: {reason(error)}") from error
