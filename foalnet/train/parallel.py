"""Trains folds in parallel processes on a CPU: a small network uses one core, and folds do not affect each other.

Each child trains folds to their end and only writes their checkpoints; the parent then reads the checkpoints as it
would after a kill. A child that dies or fails only costs time: the parent trains what is left and raises any error.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from foalnet.core.processes import die_with_parent
from foalnet.train.environment import Stop
from foalnet.train.progress_line import FoldStatus

POLL_S = 0.2

Job = Callable[[Stop, Callable[[FoldStatus], None]], object]

# The longest status, as JSON.
STATUS_BYTES = 2048


def side_by_side(jobs: Mapping[str, Job], *, workers: int, stop: Stop, show: Callable[[str, FoldStatus], None]) -> None:
    """Run `job(stop, report)` for every job in `workers` forked processes; `show` gets each job's name and status.

    Returns when all processes have ended, successfully or not. The kernel kills the children with their parent.
    """
    # The first optimiser of a process imports torch's compiler, which takes two seconds: here once, not in each child.
    importlib.import_module("torch._dynamo")
    context = multiprocessing.get_context("fork")
    shared = {name: Shared(context) for name in jobs}
    turn = context.Value("i", 0)
    children = [
        context.Process(target=_work, args=(jobs, shared, turn, os.getpid())) for _ in range(min(workers, len(jobs)))
    ]
    for each in children:
        each.start()
    stopping, at_work = False, True
    try:
        while at_work:
            for each in children:
                each.join(POLL_S / len(children))
            at_work = any(each.is_alive() for each in children)
            for name, one in shared.items():
                if (status := one.get()) is not None:
                    show(name, status)
            if stop.requested and not stopping:
                stopping = True
                for each in children:
                    each.terminate()
    finally:
        for each in children:
            each.terminate()


class Shared:
    """The status of one job, in memory that a child shares with its parent.

    It has no lock, because a killed child would hold it for ever; the parent may briefly read a half-written status.
    """

    def __init__(self, context: Any) -> None:
        self._bytes = context.Array("c", STATUS_BYTES, lock=False)

    def put(self, status: FoldStatus) -> None:
        """Write the job's status."""
        self._bytes[:] = json.dumps(asdict(status)).encode().ljust(STATUS_BYTES, b"\0")

    def get(self) -> FoldStatus | None:
        """Return the job's status; None before it began, and while it is being written."""
        try:
            return FoldStatus(**json.loads(self._bytes.value))
        except ValueError:
            return None


def _work(jobs: Mapping[str, Job], shared: Mapping[str, Shared], turn: Any, parent: int) -> None:
    """Run the next job until none is left; ignore errors, which the parent meets again and raises."""
    die_with_parent(parent)
    stop, names = Stop(), list(jobs)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.request)
    while not stop.requested:
        with turn.get_lock():
            place = turn.value
            turn.value += 1
        if place >= len(names):
            break
        with suppress(Exception):  # the parent meets the same error and reports it
            jobs[names[place]](stop, shared[names[place]].put)
    os._exit(0)  # a fork must not run its parent's exit handlers
