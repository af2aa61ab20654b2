"""Runs one command in its own process group, yields its output line by line, and guarantees that it ends.

A cancelled flow, a timeout, an exception here or the death of this process ends the command and all that it started:
SIGTERM, a grace period, SIGKILL. Prefect's worker kills a cancelled flow after 30 s; the grace period is shorter.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE_S = 10.0
POLL_S = 0.2
CHUNK_BYTES = 65536
GUARD = Path(__file__).with_name("guard.py")


class Stopped(Exception):
    """The flow was cancelled while the command ran; no process of the command is left."""


class TimedOut(Exception):
    """The command exceeded its time limit; no process of the command is left."""


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    stop: threading.Event | None = None,
    timeout_s: float | None = None,
    grace_s: float | None = None,
) -> int:
    """Run `command` to its end and return its exit code, 128 + n where signal n ended it.

    `on_line` gets every line of stdout and stderr in order, as it arrives. Raises Stopped once `stop` is set and
    TimedOut after `timeout_s`. However this call ends, no process of the command is left alive.
    """
    if stop is not None and stop.is_set():
        raise Stopped("cancelled before it began")
    grace_s = GRACE_S if grace_s is None else grace_s
    guarded = [sys.executable, "-I", "-S", str(GUARD), str(grace_s), str(os.getpid()), *command]
    with subprocess.Popen(
        guarded,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as guard:
        assert guard.stdout is not None
        try:
            for line in _lines(guard.stdout, stop=stop, timeout_s=timeout_s):
                on_line(line)
            return guard.wait()
        finally:
            _end(guard, grace_s)


def _lines(stream: IO[bytes], *, stop: threading.Event | None, timeout_s: float | None) -> Iterator[str]:
    """Yield lines until the stream ends; a carriage return ends one too (progress bars)."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if stop is not None and stop.is_set():
                raise Stopped("cancelled")
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"no end within {timeout_s:g} s")
            if not selector.select(POLL_S):
                continue
            chunk = os.read(stream.fileno(), CHUNK_BYTES)
            *lines, rest = re.split(r"[\r\n]+", rest + decoder.decode(chunk, final=not chunk))
            yield from filter(None, lines)
            if not chunk:
                break
    if rest:
        yield rest


def _end(guard: subprocess.Popen[bytes], grace_s: float) -> None:
    """Make the guard end its command; a guard that does not end is killed with its group."""
    if guard.poll() is not None:
        return
    guard.send_signal(signal.SIGTERM)
    try:
        guard.wait(grace_s + 2.0)
    except subprocess.TimeoutExpired:
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
