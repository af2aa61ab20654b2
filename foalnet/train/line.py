"""How far a training is: at a terminal a bar, elsewhere a line on stderr every 30 s and one at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TextIO

from foalnet.core.progress import Screen, duration, percent
from foalnet.train.state import Progress

# Name of each loss in the text.
SHORT = {"loss": "loss", "cross_entropy": "ce", "avel": "avel", "mem": "mem"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a fold stands: epochs done, and the steps of the epoch at work, done and in all.

    `start`: epochs done, with the part of the one at work, before this command trained; `utterances`: trained since.
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
        """Epochs done, with the part of the one at work."""
        return self.epochs + (self.step / self.steps if self.steps else 0.0)


class Report:
    """Makes the standings of one fold from its progress and sends each on."""

    def __init__(self, send: Callable[[Standing], None]) -> None:
        self._send = send
        self._last = Standing(epochs=0)

    def look(self, progress: Progress) -> None:
        """Report before a batch, after an epoch, at the end."""
        self.step(progress, 0)

    def step(self, progress: Progress, utterances: int) -> None:
        """Report after a step of so many utterances."""
        last, midway = self._last, progress.midway
        losses, step, steps = last.losses, 0, 0
        if midway is not None:
            step, steps = midway.steps, midway.total
            if utterances:
                losses = {name: float(each[-1]) for name, each in midway.losses.items()}
        elif progress.epochs == last.epochs:  # the evaluation of an epoch
            step, steps = last.step, last.steps
        now = Standing(
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


def progress_text(what: str, most: Mapping[str, int], standings: Mapping[str, Standing], seconds: float) -> str:
    """Return how far a training is, its time left, its speed, and each fold at work, on one line.

    `most`: fold -> epochs at most; a fold that is finished needs no more than it had. `seconds`: how long this command
    has trained; epochs that it did not train do not count as its speed.
    """
    total, done = _epochs(most, standings)
    whole = sum(each.epochs for each in standings.values())
    resumed = round(sum(each.start for each in standings.values()))
    left_s = _left_s(standings, total - done, seconds)
    facts = [
        f"{percent(done / total)}, {whole} of {total} epochs" + (f", {resumed} of them resumed" if resumed else ""),
        "time left not known yet" if left_s is None else f"about {duration(left_s)} left",
        _speed(standings, seconds),
    ]
    folds = [_fold(name, each, most[name]) for name, each in standings.items() if not each.finished]
    return f"{what}: " + "; ".join([", ".join(filter(None, facts)), *folds])


def end_text(what: str, standings: Mapping[str, Standing], seconds: float) -> str:
    """Return what a finished training took and reached, on one line."""
    whole = sum(each.epochs for each in standings.values())
    resumed = round(sum(each.start for each in standings.values()))
    kept = f", {resumed} of them resumed," if resumed else ""
    facts = [f"100.0 %, {whole} of {whole} epochs{kept} in {seconds:.1f} s"]
    best = [f"{name} {100 * each.best_ua:.1f} %" for name, each in standings.items() if each.best_ua is not None]
    ends = [f"best dev UA: {', '.join(best)}"] if best else []
    return f"{what}: " + "; ".join([", ".join(filter(None, [*facts, _speed(standings, seconds)])), *ends])


def _epochs(most: Mapping[str, int], standings: Mapping[str, Standing]) -> tuple[int, float]:
    """Return how many epochs there are at most, and how many are done."""
    ended = {name: each.epochs for name, each in standings.items() if each.finished}
    return sum((dict(most) | ended).values()), sum(each.done for each in standings.values())


def _left_s(standings: Mapping[str, Standing], left: float, seconds: float) -> float | None:
    made = sum(each.done - each.start for each in standings.values())
    return seconds * left / made if made > 0 else None


def _speed(standings: Mapping[str, Standing], seconds: float) -> str:
    utterances = sum(each.utterances for each in standings.values())
    if not utterances or seconds <= 0:
        return ""
    speed = utterances / seconds
    return f"{speed:,.0f} utterances/s" if speed >= 100 else f"{speed:.3g} utterances/s"


def _fold(name: str, each: Standing, most: int) -> str:
    losses = " ".join(f"{short} {each.losses[loss]:.3f}" for loss, short in SHORT.items() if loss in each.losses)
    dev = "" if each.dev_ua is None else f"dev UA {100 * each.dev_ua:.1f} %"
    return ", ".join(filter(None, (f"{name} epoch {min(each.epochs + 1, most)} of {most}", dev, losses)))


class Line:
    """Shows the folds of one training. `most`: fold -> epochs at most; `screen`: None where another process shows."""

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
        self._standings: dict[str, Standing] = {}
        self._began_s: float | None = None

    def update(self, fold: str, standing: Standing) -> None:
        """Take note of where a fold stands, and show it where it is time to.

        A fold that ended stays as it is: its state is read once more where folds were trained side by side.
        """
        if self._began_s is None:
            self._began_s = self._clock()
        if fold not in self._standings or not self._standings[fold].finished:
            self._standings[fold] = standing
        self.draw()

    def draw(self) -> None:
        """Show where training stands, where it is time to."""
        total, done = _epochs(self._most, self._standings)
        self._screen.show(lambda: progress_text(self._what, self._most, self._standings, self._seconds()), done, total)

    def end(self) -> None:
        """Show what was reached, where anything was trained."""
        if any(each.utterances for each in self._standings.values()):
            self._screen.end(end_text(self._what, self._standings, self._seconds()))

    def close(self) -> None:
        """Leave the bar as it is."""
        self._screen.close()

    def _seconds(self) -> float:
        return 0.0 if self._began_s is None else self._clock() - self._began_s


@contextmanager
def line(what: str, most: Mapping[str, int], *, shown: bool = True) -> Iterator[Line]:
    """Give the line of a training, on stderr; with `shown` False (another process shows) nothing is written."""
    each = Line(what, most, screen=sys.stderr if shown else None)
    try:
        yield each
        each.end()
    finally:
        each.close()
