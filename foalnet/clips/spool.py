"""Holds a dialogue's encoded sounds and pictures until its shard is written: in memory, then in a temporary file.

A dialogue may last hours, so a large one goes to a file in the work folder. The shard's writer reads it back one
utterance at a time. The file has no name, so it disappears with the process, however that ends.
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

# A dialogue of IEMOCAP's length never touches the disk.
IN_MEMORY_BYTES = 2**27


class Spool:
    """Stores bytes and returns them later; `folder` takes its file (None: the system's temporary folder)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        where = None if folder is None else str(folder)
        # The file closes when the last Pieces that refer to it are gone.
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=where)  # noqa: SIM115

    def put(self, pieces: Iterable[bytes]) -> Pieces:
        """Store pieces and return a view of them; MachineError (exit 4) when the disk is full."""
        new = list(pieces)
        with self._disk_errors():
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(b"".join(new))
        return Pieces(self, tuple(itertools.accumulate((len(piece) for piece in new), initial=start)))

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`; MachineError (exit 4) as for `put`."""
        with self._disk_errors():
            self._file.seek(start)
            return self._file.read(stop - start)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn OSError into MachineError; a read can raise it too, because it flushes the write buffer first."""
        try:
            yield
        except OSError as error:
            raise not_written(error, self.folder or Path(tempfile.gettempdir())) from error


class Pieces(Sequence[bytes]):
    """A sequence of pieces in a spool, read on access; equal to another sequence with the same bytes."""

    def __init__(self, spool: Spool | None, places: tuple[int, ...]) -> None:
        self._spool, self._places = spool, places

    @classmethod
    def empty(cls, count: int) -> Pieces:
        """Return `count` empty pieces."""
        return cls(None, (0,) * (count + 1))

    @property
    def offsets(self) -> list[int]:
        """Byte offsets of the pieces in `joined()`: one more than there are pieces, from 0 to its size."""
        return [place - self._places[0] for place in self._places]

    def joined(self) -> bytes:
        """Return the bytes of all pieces, concatenated."""
        return self._read(self._places[0], self._places[-1])

    def __len__(self) -> int:
        """Return the number of pieces."""
        return len(self._places) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Return one piece, or a list of pieces for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self._read(self._places[index], self._places[index + 1])

    def __eq__(self, other: object) -> bool:
        """Compare the pieces byte by byte."""
        return isinstance(other, Pieces) and self.offsets == other.offsets and self.joined() == other.joined()

    __hash__ = None  # type: ignore[assignment]

    def _read(self, start: int, stop: int) -> bytes:
        return b"" if self._spool is None or start == stop else self._spool.read(start, stop)


class Members(Mapping[str, bytes]):
    """A sample's members by name; a member in a spool is read on access."""

    def __init__(self, members: Mapping[str, bytes | Pieces]) -> None:
        self._members = dict(members)

    def __getitem__(self, name: str) -> bytes:
        """Return a member's bytes."""
        member = self._members[name]
        return member.joined() if isinstance(member, Pieces) else member

    def __iter__(self) -> Iterator[str]:
        """Iterate over the member names."""
        return iter(self._members)

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)
