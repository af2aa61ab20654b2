"""Keeper of one command: hands on its exit code, and lets nothing of it outlive this process or its parent.

flows.process starts it as a program in a session of its own; standard library only, so that it starts in
milliseconds. It is needed because a DVC that is ended by a signal leaves the command of its stage running, and
because a flow that is itself killed can end nothing. So this process takes SIGTERM when its parent dies, adopts the
orphans below it, and ends all of them: TERM, the grace, KILL.

Usage: guard.py GRACE_S PARENT_PID PROGRAM ARGUMENT…
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05


class Ended(BaseException):
    """SIGTERM came: end everything below."""


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Ended


def tie_to(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM at the parent's death, and for our orphaned descendants (Linux; elsewhere a no-op)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent_pid:
        raise Ended  # it died before the request was made


def descendants(pid: int) -> list[int]:
    """List the processes below `pid`, parents before children (Linux; elsewhere [])."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; what follows the last one is regular.
            _state, parent = stat.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # gone meanwhile
        children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found[1:]


def send(signum: signal.Signals) -> None:
    """Signal everything below this process (where /proc is missing: its process group, itself included)."""
    if sys.platform != "linux":
        os.killpg(os.getpgrp(), signum)
        return
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def anyone_left() -> bool:
    """Collect children that have ended, adopted ones too; say whether others remain."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_all(grace_s: float) -> None:
    """End everything below: TERM, at most `grace_s` of patience, KILL."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    deadline = time.monotonic() + grace_s
    if anyone_left():
        send(signal.SIGTERM)
    while anyone_left():
        if time.monotonic() >= deadline:
            send(signal.SIGKILL)
        time.sleep(POLL_S)


def main(arguments: list[str]) -> int:
    """Run the command to its end; return its exit code, 128 + n where signal n ended it."""
    grace_s, parent_pid, command = float(arguments[0]), int(arguments[1]), arguments[2:]
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _end)
    try:
        tie_to(parent_pid)
        code = subprocess.Popen(command).wait()
    except Ended:
        code = -signal.SIGTERM
    end_all(grace_s)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
