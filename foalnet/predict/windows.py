"""Cuts a span of time into windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

# Times are rounded to microseconds, as the stamps of frames.
DIGITS = 6

Span = tuple[float, float]


def windows_of(start_s: float, end_s: float, window_s: float, step_s: float) -> list[Span]:
    """Return (start, end) in seconds of each window: one every `step_s`, the last one aligned to the end of the span.

    A span that is no longer than a window is one window.

    >>> windows_of(0.0, 9.0, 4.0, 2.0)
    [(0.0, 4.0), (2.0, 6.0), (4.0, 8.0), (5.0, 9.0)]
    >>> windows_of(0.0, 3.0, 4.0, 2.0)
    [(0.0, 3.0)]
    """
    start_s, end_s = round(start_s, DIGITS), round(end_s, DIGITS)
    last_s = round(end_s - window_s, DIGITS)
    if last_s <= start_s:
        return [(start_s, end_s)]
    starts = (round(start_s + number * step_s, DIGITS) for number in itertools.count())
    before = itertools.takewhile(lambda each_s: each_s < last_s, starts)
    return [*((each_s, round(each_s + window_s, DIGITS)) for each_s in before), (last_s, end_s)]


def grouped(windows: Sequence[Span], first_s: float, most_s: float) -> Iterator[list[Span]]:
    """Yield the windows in runs; those of the first begin within `first_s` seconds, of each next within twice that.

    No run is longer than `most_s`.

    >>> list(grouped([(0.0, 4.0), (2.0, 6.0), (4.0, 8.0), (6.0, 10.0)], 2.0, 9.0))
    [[(0.0, 4.0)], [(2.0, 6.0), (4.0, 8.0)], [(6.0, 10.0)]]
    """
    run: list[Span] = []
    for window in windows:
        if run and window[0] - run[0][0] >= first_s:
            yield run
            run, first_s = [], min(2 * first_s, most_s)
        run.append(window)
    if run:
        yield run
