"""Ends a child process when its parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# PR_SET_PDEATHSIG: the kernel sends this process a signal when its parent ends.
_SET_DEATH_SIGNAL = 1


def die_with_parent(parent: int | None = None, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process the signal `by` when its parent ends in any way (no effect outside Linux).

    `parent`: pid of the process that started this one; if it has already ended, this process exits at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, by)
        if parent is not None and os.getppid() != parent:
            os._exit(1)
