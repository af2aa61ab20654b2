"""A dialogue's sounds and pictures on their way to its shard: in memory while they are few, then in a nameless file.

A dialogue may last hours. What it would take in memory is laid on the disk of the work folder instead, and read back,
an utterance at a time, by whoever writes the shard. The file vanishes with the process, however that ends.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import overload

from foalnet.core.files import not_written

# Dialogues as IEMOCAP's never touch the disk.
IN_MEMORY_BYTES = 2**27


class Reel:
    """Keeps bytes that are put in and gives them back; `folder`: where its file would lie (the system's, if None)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        where = None if folder is None else str(folder)
        # Its file closes with the last piece that leads to it.
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=where)  # noqa: SIM115

    def put(self, pieces: Iterable[bytes]) -> Pieces:
        """Keep pieces; MachineError (exit 4) where the disk takes no more."""
        kept = list(pieces)
        with self._told():
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(b"".join(kept))
        return Pieces(self, tuple(itertools.accumulate((len(piece) for piece in kept), initial=start)))

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`; MachineError (exit 4) as for `put`."""
        with self._told():
            self._file.seek(start)
            return self._file.read(stop - start)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What was put is written when its buffer is full, or when something else is wanted: any call may find out."""
        try:
            yield
        except OSError as error:
            raise not_written(error, self._folder or Path(tempfile.gettempdir())) from error


class Pieces(Sequence[bytes]):
    """Some pieces on a reel, read when they are asked for; equal to others with the same bytes."""

    def __init__(self, reel: Reel | None, places: tuple[int, ...]) -> None:
        self._reel, self._places = reel, places

    @classmethod
    def empty(cls, count: int) -> Pieces:
        """Return so many pieces without a byte."""
        return cls(None, (0,) * (count + 1))

    @property
    def offsets(self) -> list[int]:
        """Byte offsets of the pieces in `joined`: one more than there are pieces, from 0 to its size."""
        return [place - self._places[0] for place in self._places]

    def joined(self) -> bytes:
        """Return all pieces, one after the other."""
        return self._read(self._places[0], self._places[-1])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Return a piece, or a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self._read(self._places[index], self._places[index + 1])

    def __eq__(self, other: object) -> bool:
        """Compare what they hold."""
        return isinstance(other, Pieces) and self.offsets == other.offsets and self.joined() == other.joined()

    __hash__ = None  # type: ignore[assignment]

    def _read(self, start: int, stop: int) -> bytes:
        return b"" if self._reel is None or start == stop else self._reel.read(start, stop)


class Members(Mapping[str, bytes]):
    """A sample's members, of which those on a reel are read when they are asked for."""

    def __init__(self, members: Mapping[str, bytes | Pieces]) -> None:
        self._members = dict(members)

    def __getitem__(self, name: str) -> bytes:
        """Return a member's bytes."""
        member = self._members[name]
        return member.joined() if isinstance(member, Pieces) else member

    def __iter__(self) -> Iterator[str]:
        """Go over the names."""
        return iter(self._members)

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._members)
