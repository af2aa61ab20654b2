"""T92: one reader under hostile input, and the outcomes that are not faults.

A typed error of foalnet.core.errors (or the ValueError that its docstring names) is an answer; any other exception is a
fault, and so is an accepted value that breaks a rule of its check.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from foalnet.core.errors import DataError, FoalnetError

HANG_S = 60


class Hang(Exception):
    """A reader took longer than any input of this size may."""


@dataclass(kw_only=True)
class Target:
    """One reader: `check(data, folder)` reads drawn data and looks at what came of it; `errors` are its answers."""

    name: str
    strategy: Callable[[], st.SearchStrategy[Any]]
    check: Callable[[Any, Path], None]
    errors: tuple[type[Exception], ...] = (DataError,)
    tried: int = 0
    accepted: int = 0

    @cached_property
    def drawn(self) -> st.SearchStrategy[Any]:
        """The strategy, made once."""
        return self.strategy()

    def run(self, data: Any, folder: Path) -> None:
        """Try one input; an exception that is a fault propagates."""
        self.tried += 1
        with limited(HANG_S):
            try:
                self.check(data, folder)
            except self.errors as error:
                if isinstance(error, FoalnetError):
                    assert str(error) and error.action, "an error says what to do next"
                return
        self.accepted += 1


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise Hang in this, the main thread, after so many seconds."""

    def late(*_: object) -> None:
        raise Hang(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
