"""stdout and stderr that no one takes any more: a closed pipe is a normal end, a full disk is the machine's fault."""

from __future__ import annotations

import io
import os
from typing import Any, TextIO

from foalnet.core.errors import MachineError, reason

STDERR = 2


class _Watched(io.FileIO):
    """Writes to a descriptor of this process; after a write that failed, what follows goes nowhere."""

    def write(self, data: Any, /) -> int:
        """Write to stdout, or end the verb; what stderr does not take is lost, and the verb goes on."""
        try:
            written: int = super().write(data)
        except OSError as error:
            self._give_up()
            if self.fileno() == STDERR:
                return memoryview(data).nbytes
            if isinstance(error, BrokenPipeError):
                # The reader has what it wanted (`| head`).
                raise SystemExit(0) from error
            raise MachineError(
                f"the output cannot be written: {reason(error)}",
                file="stdout",
                action="free space where stdout leads, or lead it elsewhere, then run the same command again",
            ) from error
        return written

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def watched(stream: TextIO) -> TextIO:
    """Return a standard stream that names what is wrong with it; one that a program put in its place is left alone.

    A letter that its encoding lacks is written as its number; it must not end a verb.
    """
    if type(stream) is not io.TextIOWrapper:
        return stream
    raw = io.BufferedWriter(_Watched(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering
    )
