"""Trains folds in parallel processes on a CPU: a small network uses one core, and folds do not affect each other.

Each child trains a fold to its end and only writes its checkpoints; the parent then reads the checkpoints as it
would after a kill. A child that dies or fails only costs time: the parent trains what is left and raises any error.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from multiprocessing.connection import wait
from types import MappingProxyType
from typing import Any

from foalnet.core.processes import die_with_parent
from foalnet.train.environment import Stop
from foalnet.train.progress_line import FoldStatus

POLL_S = 0.2

Job = Callable[[Stop, Callable[[FoldStatus], None]], object]

# The longest status, as JSON.
STATUS_BYTES = 2048


def side_by_side(
    jobs: Mapping[str, Job],
    *,
    workers: int,
    stop: Stop,
    show: Callable[[str, FoldStatus], None],
    needs: Mapping[str, Collection[str]] = MappingProxyType({}),
    goes_on: bool = True,
) -> None:
    """Run `job(stop, report)` for every job in a forked process of its own, at most `workers` at a time, in this order.

    `show` gets each job's name and status. `needs`: job -> the jobs that must end well before it starts; without that
    it is left out. Without `goes_on` no job starts after one has failed. Returns when all processes have ended,
    successfully or not. The kernel kills them with their parent.
    """
    # The first optimiser of a process imports torch's compiler, which takes two seconds: here once, not in each child.
    importlib.import_module("torch._dynamo")
    context = multiprocessing.get_context("fork")
    shared = {name: Shared(context) for name in jobs}
    waiting, at_work, done = list(jobs), dict[str, Any](), set[str]()
    try:
        while True:
            ready = [name for name in waiting if done.issuperset(needs.get(name, ()))]
            for name in [] if stop.requested else ready[: workers - len(at_work)]:
                waiting.remove(name)
                at_work[name] = context.Process(target=_work, args=(jobs[name], shared[name], os.getpid()))
                at_work[name].start()
            if not at_work:
                return
            wait([each.sentinel for each in at_work.values()], timeout=POLL_S)
            ended = [name for name, each in at_work.items() if not each.is_alive()]
            for name, one in shared.items():
                if (status := one.get()) is not None:
                    show(name, status)
            well = {name for name in ended if at_work.pop(name).exitcode == 0}
            done |= well
            if len(well) < len(ended) and not goes_on:
                waiting.clear()
            if stop.requested:
                # Again and again: a job that does not listen yet, as it reads its inputs, loses a signal.
                for each in at_work.values():
                    each.terminate()
    finally:
        while alive := [each for each in at_work.values() if each.is_alive()]:
            for each in alive:
                each.terminate()
            wait([each.sentinel for each in alive], timeout=POLL_S)


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


def _work(job: Job, shared: Shared, parent: int) -> None:
    """Run a job and end with 0, or with 1 after any error, which the parent meets again and raises."""
    code = 1
    try:
        die_with_parent(parent)
        stop = Stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop.request)
        job(stop, shared.put)
        code = 0
    finally:
        os._exit(code)  # a fork must not run its parent's exit handlers
