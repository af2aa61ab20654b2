"""Folds side by side on a CPU: a small network keeps one core busy, and a fold's bytes do not depend on its neighbours.

Each child takes folds to their end and leaves nothing but their states; the parent then reads the states as it would
after a kill. A child that dies or fails costs time alone: the parent trains what is left and raises what is wrong.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from foalnet.train.machine import Stop

POLL_S = 0.2


def side_by_side(
    jobs: Sequence[Callable[[Stop, Callable[[int], None]], object]],
    *,
    workers: int,
    stop: Stop,
    tick: Callable[[int], None],
) -> None:
    """Run `job(stop, told)` for every job in `workers` forked processes; `told(epochs)` feeds `tick` with their sum.

    Returns when all have ended, however they ended. The kernel ends the children with their parent.
    """
    context = multiprocessing.get_context("fork")
    epochs = context.Array("i", len(jobs), lock=False)
    turn = context.Value("i", 0)
    staff = [
        context.Process(target=_work, args=(jobs, epochs, turn, os.getpid()), daemon=True)
        for _ in range(min(workers, len(jobs)))
    ]
    for each in staff:
        each.start()
    told = False
    while any(each.is_alive() for each in staff):
        for each in staff:
            each.join(POLL_S / len(staff))
        tick(sum(epochs))
        if stop.asked and not told:
            told = True
            for each in staff:
                each.terminate()


def _work(jobs: Sequence[Callable[..., object]], epochs: Any, turn: Any, parent: int) -> None:
    """Take the next job until none is left; errors are the parent's to find and to raise."""
    _die_with(parent)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    while not stop.asked:
        with turn.get_lock():
            place = turn.value
            turn.value += 1
        if place >= len(jobs):
            break

        def told(done: int, place: int = place) -> None:
            epochs[place] = done

        with suppress(Exception):  # the parent meets it again, in its own words
            jobs[place](stop, told)
    os._exit(0)  # a fork must not run what its parent registered for its own end


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
