"""Shows the progress of a verb: a bar on a terminal, elsewhere a line on stderr every EVERY_S seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

EVERY_S = 30.0
BAR = "|{bar:20}| {desc}"


class Every:
    """A timer: a call returns True once `seconds` have passed since the last True; never if `seconds` is 0."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._next = clock() + seconds

    def __call__(self) -> bool:
        """Return whether the interval has passed; if so, begin the next one."""
        now = self._clock()
        if not self._seconds or now < self._next:
            return False
        self._next = now + self._seconds
        return True


class Screen:
    """Shows progress on `stream` (None: another process shows it); `written`: a line was written to a non-terminal."""

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        from tqdm import tqdm

        self.written = False
        self._stream, self._due = stream, Every(EVERY_S, clock)
        self._bar: tqdm[Any] | None = None
        if stream is not None and stream.isatty():
            self._bar = tqdm(total=1, file=stream, bar_format=BAR, miniters=0)

    def show(self, text: Callable[[], str], done: float, total: float) -> None:
        """Show the current progress: on a terminal at most a few times a second, elsewhere every EVERY_S seconds."""
        if self._bar is not None:
            self._put(text(), done, total)
            self._bar.update(0)
        elif self._stream is not None and self._due():
            self._print(text())

    def end(self, text: str) -> None:
        """Show the final line."""
        if self._bar is not None:
            self._put(text, 1, 1)
        elif self._stream is not None:
            self._print(text)

    def close(self) -> None:
        """Close the bar; it stays visible."""
        if self._bar is not None:
            self._bar.close()

    def _put(self, text: str, done: float, total: float) -> None:
        assert self._bar is not None
        self._bar.total, self._bar.n = total, done
        self._bar.set_description_str(text, refresh=False)

    def _print(self, text: str) -> None:
        self.written = True
        print(text, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """Return a duration as text: 45 s, 12 min, 3.5 h.

    >>> duration(45), duration(720), duration(12_600)
    ('45 s', '12 min', '3.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def percent(part: float) -> str:
    """Return a fraction as percent, rounded down, so that only a finished task shows 100.0 %.

    >>> percent(0.9999), percent(1.0)
    ('99.9 %', '100.0 %')
    """
    return f"{math.floor(1000 * part) / 10:.1f} %"


@contextmanager
def counted(
    what: str, total: int, unit: str, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of `total` units of work; it shows progress and the time left on stderr.

    Outside a terminal, work that ends before the first line is due prints nothing; other work prints a final line too.
    """
    screen, began_s, done = Screen(sys.stderr, clock), clock(), 0

    def text() -> str:
        left = duration((clock() - began_s) * (total - done) / done)
        return f"{what}: {percent(done / total)}, {done} of {total} {unit}, about {left} left"

    def one_more() -> None:
        nonlocal done
        done += 1
        screen.show(text, done, total)

    try:
        yield one_more
        if screen.written:
            screen.end(f"{what}: {percent(done / total)}, {done} of {total} {unit} in {duration(clock() - began_s)}")
    finally:
        screen.close()
