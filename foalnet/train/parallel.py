"""Folds side by side on a CPU: a small network keeps one core busy, and a fold's bytes do not depend on its neighbours.

Each child takes folds to their end and leaves nothing but their states; the parent then reads the states as it would
after a kill. A child that dies or fails costs time alone: the parent trains what is left and raises what is wrong.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from foalnet.kin import die_with_parent
from foalnet.train.line import SHORT, Told
from foalnet.train.machine import Stop

POLL_S = 0.2


def side_by_side(
    jobs: Sequence[Callable[[Stop, Callable[[Told], None]], object]],
    *,
    workers: int,
    stop: Stop,
    tick: Callable[[Told], None],
) -> None:
    """Run `job(stop, tell)` for every job in `workers` forked processes; what they tell feeds `tick` with its sum.

    The losses are those that were told last, of whichever job. Returns when all have ended, however they ended. The
    kernel ends the children with their parent.
    """
    context = multiprocessing.get_context("fork")
    told = Shared(context, len(jobs))
    turn = context.Value("i", 0)
    staff = [
        context.Process(target=_work, args=(jobs, told, turn, os.getpid()), daemon=True)
        for _ in range(min(workers, len(jobs)))
    ]
    for each in staff:
        each.start()
    asked = False
    while any(each.is_alive() for each in staff):
        for each in staff:
            each.join(POLL_S / len(staff))
        tick(told.sum())
        if stop.asked and not asked:
            asked = True
            for each in staff:
                each.terminate()


class Shared:
    """What the children tell, in memory that they share with their parent."""

    def __init__(self, context: Any, jobs: int) -> None:
        self._epochs = context.Array("i", jobs, lock=False)
        self._utterances = context.Array("q", jobs, lock=False)
        self._losses = context.Array("d", [math.nan] * len(SHORT), lock=False)

    def put(self, place: int, told: Told) -> None:
        """Note what the job at `place` tells."""
        self._epochs[place], self._utterances[place] = told.epochs, told.utterances
        for i, name in enumerate(SHORT):
            self._losses[i] = told.losses.get(name, math.nan)

    def sum(self) -> Told:
        """Return what all jobs told so far."""
        losses = {name: value for name, value in zip(SHORT, self._losses, strict=True) if not math.isnan(value)}
        return Told(epochs=sum(self._epochs), utterances=sum(self._utterances), losses=losses)


def _work(jobs: Sequence[Callable[..., object]], told: Shared, turn: Any, parent: int) -> None:
    """Take the next job until none is left; errors are the parent's to find and to raise."""
    die_with_parent(parent)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    while not stop.asked:
        with turn.get_lock():
            place = turn.value
            turn.value += 1
        if place >= len(jobs):
            break
        with suppress(Exception):  # the parent meets it again, in its own words
            jobs[place](stop, partial(told.put, place))
    os._exit(0)  # a fork must not run what its parent registered for its own end
