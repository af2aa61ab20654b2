"""Keeps the accounts of a failed run: what it dropped and why, and its error. The run's own checkout is removed."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prefect.exceptions import TerminationSignal

from flows import artifacts
from flows.process import Stopped
from flows.tasks import run_logger
from foalnet.core.errors import FoalnetError, named
from foalnet.core.files import publish_bytes, publish_file
from foalnet.core.paths import Paths
from foalnet.core.redact import redact

FAILURE = "failure.md"
Show = Callable[[str], None]


@contextlib.contextmanager
def account_kept(paths: Paths, work: Path, run: str, show: Show) -> Iterator[None]:
    """If the block fails, copy the accounts in `paths` and the reason below `work`, and name that folder in the error.

    `show` gets the text of failure.md; it is not called where the run was cancelled.
    """
    began_s = time.time()
    try:
        yield
    except BaseException as error:
        folder = work / "reports" / run
        try:
            text = _keep(paths, work, folder, error, began_s)
            if (end := cancelled(error)) is not None:
                run_logger().info("%s; what this run wrote before that is in %s", end, folder)
            else:
                run_logger().error("what this run recorded before it failed: %s", folder)
            if isinstance(error, FoalnetError):
                error.what += f"\nwhat this run recorded before it failed: {folder}"
            if isinstance(error, Exception):
                show(text)
        except Exception as another:
            # Such as a full disk, or a server that is gone. The first error is the one to raise.
            run_logger().error("what this run recorded could not be copied or shown: %s", another)
        raise


def cancelled(error: BaseException) -> str | None:
    """Return how a run was cancelled; None where it failed."""
    if isinstance(error, Stopped):
        return str(error)
    number = error.signal if isinstance(error, TerminationSignal) else None
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else number
    return None if number is None else f"cancelled by {signal.Signals(number).name}"


def _keep(paths: Paths, work: Path, folder: Path, error: BaseException, began_s: float) -> str:
    """Copy the accounts that exist to `folder`, write failure.md there and return its text."""
    listed = work / "runs" / f"shards-{paths.corpus}-failed.json"
    failed = listed if listed.is_file() and listed.stat().st_mtime >= began_s else None
    for path in filter(None, (paths.counts, paths.staging, failed)):
        if path.is_file():
            publish_file(path, folder / path.name)
    end = cancelled(error)
    how, why = ("failed", named(error)) if end is None else ("cancelled", end)
    text = artifacts.failure(paths, how, redact(why), folder, failed)
    publish_bytes(folder / FAILURE, f"{text}\n".encode())
    return text
