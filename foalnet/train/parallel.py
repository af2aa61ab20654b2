"""Folds side by side on a CPU: a small network keeps one core busy, and a fold's bytes do not depend on its neighbours.

Each child takes folds to their end and leaves nothing but their states; the parent then reads the states as it would
after a kill. A child that dies or fails costs time alone: the parent trains what is left and raises what is wrong.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from foalnet.core.processes import die_with_parent
from foalnet.train.line import SHORT, Standing
from foalnet.train.machine import Stop

POLL_S = 0.2

Job = Callable[[Stop, Callable[[Standing], None]], object]

# What a standing has beside its losses, as numbers in shared memory; NaN is None.
WHOLE = ("epochs", "step", "steps", "utterances", "finished")
NUMBERS = (*WHOLE, "start", "dev_ua", "best_ua")


def side_by_side(jobs: Mapping[str, Job], *, workers: int, stop: Stop, show: Callable[[str, Standing], None]) -> None:
    """Run `job(stop, report)` for every job in `workers` forked processes; `show` gets where each stands, by its name.

    Returns when all have ended, however they ended. The kernel ends the children with their parent.
    """
    context = multiprocessing.get_context("fork")
    shared = {name: Shared(context) for name in jobs}
    turn = context.Value("i", 0)
    staff = [
        context.Process(target=_work, args=(jobs, shared, turn, os.getpid()), daemon=True)
        for _ in range(min(workers, len(jobs)))
    ]
    for each in staff:
        each.start()
    asked, at_work = False, True
    while at_work:
        for each in staff:
            each.join(POLL_S / len(staff))
        at_work = any(each.is_alive() for each in staff)
        for name, one in shared.items():
            if (standing := one.get()) is not None:
                show(name, standing)
        if stop.asked and not asked:
            asked = True
            for each in staff:
                each.terminate()


class Shared:
    """Where one job stands, in memory that a child shares with its parent.

    Without a lock, which a killed child would hold for ever: the parent may see a standing half written, for a moment.
    """

    def __init__(self, context: Any) -> None:
        self._numbers = context.Array("d", [math.nan] * (len(NUMBERS) + len(SHORT)), lock=False)

    def put(self, standing: Standing) -> None:
        """Write where the job stands."""
        values = [getattr(standing, name) for name in NUMBERS] + [standing.losses.get(name) for name in SHORT]
        self._numbers[:] = [math.nan if each is None else float(each) for each in values]

    def get(self) -> Standing | None:
        """Return where the job stands; None before it began."""
        values = {
            name: each for name, each in zip((*NUMBERS, *SHORT), self._numbers, strict=True) if not math.isnan(each)
        }
        if not values.keys() >= {*WHOLE, "start"}:
            return None
        facts: dict[str, Any] = {name: values.get(name) for name in NUMBERS}
        facts |= {name: int(values[name]) for name in WHOLE} | {"finished": bool(values["finished"])}
        return Standing(**facts, losses={name: values[name] for name in SHORT if name in values})


def _work(jobs: Mapping[str, Job], shared: Mapping[str, Shared], turn: Any, parent: int) -> None:
    """Take the next job until none is left; errors are the parent's to find and to raise."""
    die_with_parent(parent)
    stop, names = Stop(), list(jobs)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    while not stop.asked:
        with turn.get_lock():
            place = turn.value
            turn.value += 1
        if place >= len(names):
            break
        with suppress(Exception):  # the parent meets it again, in its own words
            jobs[names[place]](stop, shared[names[place]].put)
    os._exit(0)  # a fork must not run what its parent registered for its own end
