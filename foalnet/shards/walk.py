"""Walks over a tar's headers strictly: it accounts for every block and skips none.

tarfile and webdataset treat a cut at a member's border as the end, and stop silently at a damaged header; this module
reports both as damage.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from foalnet.core.errors import reason

BLOCK = tarfile.BLOCKSIZE


class Damage(ValueError):
    """The file is not a complete tar of plain members; the text says what is wrong and at which byte."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member: key and extension of its name, and its bytes [start, end) in the tar."""

    key: str
    extension: str
    start: int
    end: int


def members(path: Path) -> Iterator[Member]:
    """Yield every member in file order; raise Damage at the first invalid block."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        position = 0
        while True:
            header = handle.read(BLOCK)
            if len(header) < BLOCK:
                raise Damage(f"it ends at byte {size} without the end mark of a tar")
            if not any(header):
                _check_end(handle, position)
                return
            member = _member(header, position, size)
            yield member
            position = member.end
            handle.seek(position)


def _member(header: bytes, position: int, size: int) -> Member:
    """Return the member of one header block; its checksum covers every byte of the block."""
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise Damage(f"the header at byte {position} is damaged ({reason(error)})") from error
    if info.type != tarfile.REGTYPE:
        raise Damage(f"{info.name!r} at byte {position} is not a plain file (tar type {info.type!r})")
    key, dot, extension = info.name.partition(".")
    if not (key and dot and extension) or "/" in info.name or "\\" in info.name:
        raise Damage(f"{info.name!r} at byte {position} is not the name of a sample's member")
    end = position + BLOCK + -(-info.size // BLOCK) * BLOCK
    if info.size < 0 or end > size:
        raise Damage(f"{info.name!r} at byte {position} claims {info.size} bytes, the file ends at {size}")
    return Member(key=key, extension=extension, start=position, end=end)


def _check_end(handle: BinaryIO, position: int) -> None:
    """Raise Damage unless the first empty block is followed by at least one more, up to a full record of zeros."""
    rest = handle.read()
    if any(rest):
        raise Damage(f"there is data after the end mark at byte {position}")
    total = position + BLOCK + len(rest)
    if len(rest) < BLOCK or total % tarfile.RECORDSIZE:
        raise Damage(f"its end mark at byte {position} is cut at byte {total}")


def ranges(path: Path) -> list[tuple[str, tuple[str, ...], int, int]]:
    """Return (key, extensions in file order, start, end) for every run of members with the same key."""
    runs: list[tuple[str, list[str], int, int]] = []
    for member in members(path):
        if runs and runs[-1][0] == member.key:
            key, extensions, start, _ = runs[-1]
            runs[-1] = (key, [*extensions, member.extension], start, member.end)
        else:
            runs.append((member.key, [member.extension], member.start, member.end))
    return [(key, tuple(extensions), start, end) for key, extensions, start, end in runs]
