"""Starts the processes of one training (setting `train_processes`) and ends all of them when one fails or is stopped.

It does what `torchrun` does on one machine, but returns the verb's exit code, where torchrun returns 1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from foalnet.train.environment import listening
from foalnet.train.ranks import MEET

# Less than the 10 s after which a cancelled flow kills.
GRACE_S = 8.0
POLL_S = 0.1
# After one process fails, the others fail within moments with errors of their own.
FOLLOW_S = 1.0
MACHINE = 4


def in_processes(arguments: Sequence[str], count: int) -> int:
    """Run `foalnet ARGUMENTS` in `count` processes to their end and return the exit code."""
    return together([[sys.executable, "-m", "foalnet", *arguments]] * count)


def together(commands: Sequence[Sequence[str]], *, grace_s: float = GRACE_S) -> int:
    """Run commands as the processes of one training, the first as rank 0; return the exit code.

    When one fails, or on Ctrl-C or SIGTERM, the others get SIGTERM, then after `grace_s` SIGKILL. Interrupted (exit 5)
    after Ctrl-C or SIGTERM.
    """
    staff: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="foalnet-") as folder, listening() as stop:
        # They meet through a file, since no port can be reserved, and communicate within this machine only.
        shared = os.environ | {
            "WORLD_SIZE": str(len(commands)),
            "LOCAL_WORLD_SIZE": str(len(commands)),
            "MASTER_ADDR": f"{MEET}{folder}/meet",
            "MASTER_PORT": "0",
        }
        if sys.platform == "linux":
            shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
        try:
            for rank, command in enumerate(commands):
                staff.append(subprocess.Popen(list(command), env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}))
            while not stop.requested and None in (codes := [each.poll() for each in staff]):
                if any(codes):
                    _wait(staff, FOLLOW_S)
                    break
                time.sleep(POLL_S)
            codes = [each.poll() for each in staff]
        finally:
            _end(staff, grace_s)
    return _code(codes)


def _wait(staff: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while None in [each.poll() for each in staff] and time.monotonic() < until:
        time.sleep(POLL_S)


def _end(staff: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for each in staff:
            if each.poll() is None:
                each.send_signal(number)
        _wait(staff, grace_s)


def _code(codes: Sequence[int | None]) -> int:
    """Return the most specific exit code: a process' own error before errors caused by the other processes."""
    failed = [code if code >= 0 else 128 - code for code in codes if code]
    return min(failed, key=lambda code: (code == MACHINE, code > 128, code), default=0)
