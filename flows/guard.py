"""Runs one command, passes its exit code on, and ends all its processes when this process or its parent ends.

flows.process starts it as a program in its own session; it uses the standard library only and so starts in
milliseconds. It is needed because a DVC that is ended by a signal leaves the command of its stage running, and because
a killed flow cannot end anything. So this process gets SIGTERM when its parent dies, adopts the orphaned processes
below it, and ends all of them: SIGTERM, the grace period, SIGKILL.

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
    """SIGTERM arrived: every process below must end."""


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Ended


def tie_to(parent_pid: int) -> None:
    """Get SIGTERM from the kernel when the parent dies, and adopt orphaned descendants (Linux; elsewhere a no-op)."""
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
            # The name, in parentheses, may hold any character; the fields after the last parenthesis are regular.
            _state, parent = stat.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # the process has ended
        children.setdefault(int(parent), []).append(int(stat.parent.name))
    pids = [pid]
    for each in pids:
        pids += children.get(each, [])
    return pids[1:]


def send(signum: signal.Signals) -> None:
    """Signal every process below this one (without /proc: its process group, itself included)."""
    if sys.platform != "linux":
        os.killpg(os.getpgrp(), signum)
        return
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def anyone_left() -> bool:
    """Reap children that have ended, adopted ones too; return whether others remain."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_all(grace_s: float) -> None:
    """End every process below this one: SIGTERM, at most `grace_s` of waiting, SIGKILL."""
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
