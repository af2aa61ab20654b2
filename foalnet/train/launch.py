"""The verb itself starts its processes (setting `train_processes`): one goes wrong or is stopped, and all end.

It does what `torchrun` does on one machine, and ends with the exit code of the verb, which torchrun hides behind 1.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from foalnet.train.machine import listening

# A flow that is cancelled waits 10 s before it kills.
GRACE_S = 8.0
POLL_S = 0.1
# Where one fails, the others follow within moments with errors of their own.
FOLLOW_S = 1.0
INTERRUPTED, MACHINE = 5, 4


def in_processes(arguments: Sequence[str], count: int) -> int:
    """Run `foalnet ARGUMENTS` in `count` processes and return the exit code; none of them is alive then."""
    return together([[sys.executable, "-m", "foalnet", *arguments]] * count)


def together(commands: Sequence[Sequence[str]], *, grace_s: float = GRACE_S) -> int:
    """Run commands as the processes of one training, the first as rank 0; return the exit code.

    Once one fails, or Ctrl-C or SIGTERM comes, the others get SIGTERM, `grace_s`, SIGKILL.
    """
    shared = {
        "WORLD_SIZE": str(len(commands)),
        "LOCAL_WORLD_SIZE": str(len(commands)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    staff: list[subprocess.Popen[bytes]] = []
    with listening() as stop:
        try:
            for rank, command in enumerate(commands):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                staff.append(subprocess.Popen(list(command), env=os.environ | shared | own))
            while not stop.asked and any(each.poll() is None for each in staff):
                if any(each.returncode for each in staff):
                    _wait(staff, FOLLOW_S)
                    break
                time.sleep(POLL_S)
            codes = [each.poll() for each in staff]
        finally:
            _end(staff, grace_s)
    return INTERRUPTED if stop.asked and any(code is None for code in codes) else _code(codes)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(staff: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(each.poll() is None for each in staff) and time.monotonic() < until:
        time.sleep(POLL_S)


def _end(staff: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for each in staff:
            if each.poll() is None:
                each.send_signal(number)
        _wait(staff, grace_s)


def _code(codes: Sequence[int | None]) -> int:
    """Return the code that tells most: what a process says of itself before what it says of the others."""
    failed = [code if code >= 0 else 128 - code for code in codes if code]
    return min(failed, key=lambda code: (code == MACHINE, code > 128, code), default=0)
