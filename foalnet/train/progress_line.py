"""Shows the progress of a training on stderr: a bar on a terminal, else a line every 30 s and one at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TextIO

from foalnet.core.progress import Screen, duration, percent
from foalnet.methods import CROSS_ENTROPY
from foalnet.train.state import Progress

# The short name of each loss.
SHORT = {CROSS_ENTROPY: "ce"}


@dataclass(frozen=True, kw_only=True)
class FoldStatus:
    """The status of a fold: finished epochs, and finished and total steps of the current epoch.

    `start`: epochs done, including the part of the current one, before this command; `utterances`: trained since then.
    `dev_ua`, `best_ua`: UA of the dev part after the last epoch, and the best so far; None before the first epoch and
    without a dev part. `losses`: of the last step.
    """

    epochs: int
    step: int = 0
    steps: int = 0
    start: float = 0.0
    utterances: int = 0
    dev_ua: float | None = None
    best_ua: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False

    @property
    def done(self) -> float:
        """Epochs done, including the part of the current one."""
        return self.epochs + (self.step / self.steps if self.steps else 0.0)


class StatusReporter:
    """Computes the status of one fold from its progress and sends it on."""

    def __init__(self, send: Callable[[FoldStatus], None]) -> None:
        self._send = send
        self._last = FoldStatus(epochs=0)

    def before_batch(self, progress: Progress) -> None:
        """Report before a batch, after an epoch, at the end."""
        self.step(progress, 0)

    def step(self, progress: Progress, utterances: int) -> None:
        """Report after a step of `utterances` utterances."""
        last, midway = self._last, progress.midway
        losses, step, steps = last.losses, 0, 0
        if midway is not None:
            step, steps = midway.steps, midway.total
            if utterances:
                losses = {name: float(each[-1]) for name, each in midway.losses.items()}
        elif progress.epochs == last.epochs:  # the evaluation of an epoch
            step, steps = last.step, last.steps
        now = FoldStatus(
            epochs=progress.epochs,
            step=step,
            steps=steps,
            start=last.start,
            utterances=last.utterances + utterances,
            dev_ua=progress.rows[-1].get("dev_ua") if progress.rows else None,
            best_ua=progress.best_ua if progress.best_ua >= 0 else None,
            losses=losses,
            finished=progress.finished,
        )
        if not now.utterances:
            now = replace(now, start=now.done)
        self._last = now
        self._send(now)


def progress_text(what: str, most: Mapping[str, int], statuses: Mapping[str, FoldStatus], seconds: float) -> str:
    """Return one line with a training's progress, time left, speed, and each unfinished fold.

    `most`: fold -> maximum of epochs; a finished fold counts with the epochs that it had. `seconds`: how long this
    command has trained; epochs that it did not train do not count for its speed.
    """
    total, done = _epochs(most, statuses)
    whole = sum(each.epochs for each in statuses.values())
    resumed = round(sum(each.start for each in statuses.values()))
    left_s = _left_s(statuses, total - done, seconds)
    facts = [
        f"{percent(done / total)}, {whole} of {total} epochs" + (f", {resumed} of them resumed" if resumed else ""),
        "time left not known yet" if left_s is None else f"about {duration(left_s)} left",
        _speed(statuses, seconds),
    ]
    folds = [_fold(name, each, most[name]) for name, each in statuses.items() if not each.finished]
    return f"{what}: " + "; ".join([", ".join(filter(None, facts)), *folds])


def end_text(what: str, statuses: Mapping[str, FoldStatus], seconds: float) -> str:
    """Return one line with a finished training's time and best scores."""
    whole = sum(each.epochs for each in statuses.values())
    resumed = round(sum(each.start for each in statuses.values()))
    kept = f", {resumed} of them resumed," if resumed else ""
    facts = [f"100.0 %, {whole} of {whole} epochs{kept} in {seconds:.1f} s"]
    best = [f"{name} {100 * each.best_ua:.1f} %" for name, each in statuses.items() if each.best_ua is not None]
    ends = [f"best dev UA: {', '.join(best)}"] if best else []
    return f"{what}: " + "; ".join([", ".join(filter(None, [*facts, _speed(statuses, seconds)])), *ends])


def _epochs(most: Mapping[str, int], statuses: Mapping[str, FoldStatus]) -> tuple[int, float]:
    """Return the maximum of epochs in total, and the epochs done."""
    ended = {name: each.epochs for name, each in statuses.items() if each.finished}
    return sum((dict(most) | ended).values()), sum(each.done for each in statuses.values())


def _left_s(statuses: Mapping[str, FoldStatus], left: float, seconds: float) -> float | None:
    made = sum(each.done - each.start for each in statuses.values())
    return seconds * left / made if made > 0 else None


def _speed(statuses: Mapping[str, FoldStatus], seconds: float) -> str:
    utterances = sum(each.utterances for each in statuses.values())
    if not utterances or seconds <= 0:
        return ""
    speed = utterances / seconds
    return f"{speed:,.0f} utterances/s" if speed >= 100 else f"{speed:.3g} utterances/s"


def _fold(name: str, each: FoldStatus, most: int) -> str:
    losses = " ".join(f"{SHORT.get(loss, loss)} {value:.3f}" for loss, value in each.losses.items())
    dev = "" if each.dev_ua is None else f"dev UA {100 * each.dev_ua:.1f} %"
    return ", ".join(filter(None, (f"{name} epoch {min(each.epochs + 1, most)} of {most}", dev, losses)))


class ProgressLine:
    """Shows the folds of one training. `most`: fold -> maximum of epochs; `screen` None: another process shows them."""

    def __init__(
        self,
        what: str,
        most: Mapping[str, int],
        *,
        screen: TextIO | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._most, self._clock = what, dict(most), clock
        self._screen = Screen(screen, clock)
        self._statuses: dict[str, FoldStatus] = {}
        self._began_s: float | None = None

    def update(self, fold: str, status: FoldStatus) -> None:
        """Record a fold's status, and show it if it is time to.

        A finished fold's status no longer changes: after parallel training its checkpoint is read once more.
        """
        if self._began_s is None:
            self._began_s = self._clock()
        if fold not in self._statuses or not self._statuses[fold].finished:
            self._statuses[fold] = status
        self.draw()

    def draw(self) -> None:
        """Show the progress if it is time to."""
        total, done = _epochs(self._most, self._statuses)
        self._screen.show(lambda: progress_text(self._what, self._most, self._statuses, self._seconds()), done, total)

    def end(self) -> None:
        """Show the result, if this command trained anything."""
        if any(each.utterances for each in self._statuses.values()):
            self._screen.end(end_text(self._what, self._statuses, self._seconds()))

    def close(self) -> None:
        """Close the bar in its last state."""
        self._screen.close()

    def _seconds(self) -> float:
        return 0.0 if self._began_s is None else self._clock() - self._began_s


@contextmanager
def progress_line(what: str, most: Mapping[str, int], *, shown: bool = True) -> Iterator[ProgressLine]:
    """Yield the progress line of a training on stderr; with `shown` False (another process shows it) write nothing."""
    each = ProgressLine(what, most, screen=sys.stderr if shown else None)
    try:
        yield each
        each.end()
    finally:
        each.close()
