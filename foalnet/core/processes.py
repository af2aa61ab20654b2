"""A process that must not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# prctl's number for: send me this signal when my parent ends.
_SET_DEATH_SIGNAL = 1


def die_with_parent(parent: int | None = None, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process `by` when its parent ends, however that happens (Linux; elsewhere nothing).

    `parent`: the process that started this one; where it has ended already, so does this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, by)
        if parent is not None and os.getppid() != parent:
            os._exit(1)
