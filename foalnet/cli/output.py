"""Wraps stdout and stderr: a closed pipe ends the verb normally, a full disk is an environment error (exit 4)."""

from __future__ import annotations

import io
import os
from typing import Any, TextIO

from foalnet.core.errors import MachineError, reason

STDERR = 2


class _Watched(io.FileIO):
    """Writes to a descriptor of this process; after a failed write it discards further output."""

    def write(self, data: Any, /) -> int:
        """Write the data. A failed write to stdout ends the verb; one to stderr is ignored."""
        try:
            written: int = super().write(data)
        except OSError as error:
            self._give_up()
            if self.fileno() == STDERR:
                return memoryview(data).nbytes
            if isinstance(error, BrokenPipeError):
                # The reader closed the pipe, as `| head` does.
                raise SystemExit(0) from error
            raise MachineError(
                f"the output cannot be written: {reason(error)}",
                file="stdout",
                action="free space where stdout is written, or redirect it elsewhere, then run the same command again",
            ) from error
        return written

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def watched(stream: TextIO) -> TextIO:
    """Return a standard stream that handles failed writes; a replaced stream is returned unchanged.

    A letter that the stream's encoding lacks is written as its code, so that it does not end the verb.
    """
    if type(stream) is not io.TextIOWrapper:
        return stream
    raw = io.BufferedWriter(_Watched(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering
    )
