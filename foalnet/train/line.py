"""The progress line of a training: epochs done, the losses of the last step, utterances per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from foalnet.train.state import Progress

# Name in the progress line of each loss.
SHORT = {"loss": "loss", "cross_entropy": "ce", "avel": "avel", "mem": "mem"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """Where a fold stands: epochs done, utterances trained since this command began, the last step's losses."""

    epochs: int
    utterances: int = 0
    losses: dict[str, float] = field(default_factory=dict)


class Teller:
    """Tells of one fold after each step and each epoch."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self._utterances = 0
        self._losses: dict[str, float] = {}

    def step(self, progress: Progress, utterances: int) -> None:
        """After a step of so many utterances."""
        self._utterances += utterances
        if progress.midway is not None:
            self._losses = {name: float(losses[-1]) for name, losses in progress.midway.losses.items()}
        self.epoch(progress.epochs)

    def epoch(self, epochs: int) -> None:
        """After an epoch."""
        self._tell(Told(epochs=epochs, utterances=self._utterances, losses=self._losses))


class Line:
    """One line for all folds."""

    def __init__(self, bar: tqdm[Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._bar, self._clock, self._began = bar, clock, clock()

    def update(self, told: Told, *, before: int = 0) -> None:
        """Show where training stands, `before`: epochs of folds that are done; drawn a few times a second at most."""
        if told.utterances:
            self._bar.set_postfix_str(words(told, self._clock() - self._began), refresh=False)
        self._bar.update(max(0, before + told.epochs - int(self._bar.n)))


def words(told: Told, seconds: float) -> str:
    """Return what stands behind the bar, "loss 1.23 ce 1.01 …, 210 utterances/s"."""
    losses = " ".join(f"{SHORT[name]} {told.losses[name]:.3f}" for name in SHORT if name in told.losses)
    speed = f"{told.utterances / seconds:.3g} utterances/s" if seconds > 0 else ""
    return ", ".join(filter(None, (losses, speed)))


@contextmanager
def line(what: str, epochs: int, *, shown: bool = True) -> Iterator[Line]:
    """Give the line of a training of so many epochs; where nobody looks (no terminal), nothing is drawn."""
    # A step moves the line too (miniters), and the time left is told by the epochs so far (smoothing).
    hidden = None if shown else True
    with tqdm(total=epochs, desc=what, unit="epoch", disable=hidden, miniters=0, smoothing=0) as bar:
        yield Line(bar)
