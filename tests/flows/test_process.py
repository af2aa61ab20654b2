"""A command in a process group of its own: its lines, its exit code, and nothing left alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.process import Stopped, TimedOut, run
from tests.flows.helpers import PATIENCE_S, alive, stop_once, until

# A grandchild in a session of its own that ignores SIGTERM, as a training launcher might start.
STUBBORN = """
import os, subprocess, sys, time
inner = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def start(code: str, lines: list[str], **options: object) -> int:
    env = dict(os.environ)
    command = [sys.executable, "-u", "-c", code]
    return run(command, cwd=Path(), env=env, on_line=lines.append, **options)  # type: ignore[arg-type]


def pids(lines: list[str]) -> list[int]:
    return [int(pid) for pid in " ".join(lines[:1]).split()]


def test_lines_of_both_streams_come_in_order_and_the_exit_code_is_the_commands_own() -> None:
    lines: list[str] = []
    code = (
        "import sys; print('one'); sys.stderr.write('two\\n'); sys.stdout.write('10%\\r20%\\rdre\\u00ed'); sys.exit(4)"
    )
    assert start(code, lines) == 4
    assert lines == ["one", "two", "10%", "20%", "dreí"]


def test_a_character_cut_by_the_pipe_is_put_together_again() -> None:
    lines: list[str] = []
    code = "import os, time\nos.write(1, b'\\xc3')\ntime.sleep(0.3)\nos.write(1, b'\\xa4\\xff\\n')"
    assert start(code, lines) == 0
    assert lines == ["ä\ufffd"]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_a_command_that_a_signal_ended_gives_128_and_its_number(signum: signal.Signals) -> None:
    assert start(f"import os; os.kill(os.getpid(), {int(signum)})", []) == 128 + signum


def test_stop_ends_the_whole_tree_even_what_left_the_group_and_ignores_term() -> None:
    lines: list[str] = []
    stop = threading.Event()
    stop_once(lambda: len(pids(lines)) == 2, stop)
    with pytest.raises(Stopped):
        start(STUBBORN, lines, stop=stop, grace_s=1.0)
    assert len(pids(lines)) == 2
    assert not any(alive(pid) for pid in pids(lines))


def test_stop_before_the_start_starts_nothing() -> None:
    stop = threading.Event()
    stop.set()
    lines: list[str] = []
    with pytest.raises(Stopped):
        start("print('ran')", lines, stop=stop)
    assert lines == []


def test_a_timeout_ends_the_tree_and_lets_a_willing_command_finish_its_own_way() -> None:
    lines: list[str] = []
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('ready')\n"
        "time.sleep(600)"
    )
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"0\.8 s"):
        start(code, lines, timeout_s=0.8, grace_s=PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S, "a willing command is not waited for with the whole grace"


def test_an_error_of_the_listener_ends_the_tree() -> None:
    seen: list[int] = []

    def listen(line: str) -> None:
        seen.extend(int(pid) for pid in line.split())
        raise ValueError("the log is gone")

    with pytest.raises(ValueError, match="the log is gone"):
        run([sys.executable, "-u", "-c", STUBBORN], cwd=Path(), env=os.environ, on_line=listen, grace_s=0.5)
    assert not any(alive(pid) for pid in seen)


def test_what_a_finished_command_left_behind_is_ended_too() -> None:
    lines: list[str] = []
    assert start(STUBBORN.replace("time.sleep(600)\n", ""), lines, grace_s=0.5) == 0
    assert not any(alive(pid) for pid in pids(lines))


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_nothing_outlives_a_flow_that_is_itself_killed() -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom flows.process import run\n"
        f"command = [sys.executable, '-u', '-c', {STUBBORN!r}]\n"
        "show = lambda line: print(line, flush=True)\n"
        "run(command, cwd=Path(), env=os.environ, on_line=show, grace_s=1.0)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as flow:
        assert flow.stdout is not None
        below = [int(pid) for pid in flow.stdout.readline().split()]
        assert len(below) == 2
        flow.kill()
        until(lambda: not any(alive(pid) for pid in below), PATIENCE_S, "the end of the whole tree")
