"""The GPU slots: a global concurrency limit of Prefect's server, so that flows on any number of machines agree."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.process import Stopped

GPU_SLOT = "foalnet-gpu"
"""`prefect gcl update foalnet-gpu --limit 2` where there are two GPUs."""
PATIENCE_S = 10.0


@contextlib.contextmanager
def gpu_slot(stop: threading.Event | None) -> Iterator[None]:
    """Hold one slot, waiting for it until `stop` is set (Stopped); after a kill it is free when its lease ends."""
    while True:
        if stop is not None and stop.is_set():
            raise Stopped("cancelled while it waited for the GPU")
        with contextlib.ExitStack() as held:
            try:
                # strict: a slot that nobody defined is an error, not an unlimited one
                held.enter_context(concurrency(GPU_SLOT, strict=True, timeout_seconds=PATIENCE_S))
            except TimeoutError:
                continue
            yield
            return


def make_slot(limit: int = 1) -> None:
    """Define the slot on the server where nobody has; a limit that a person set is left alone."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_SLOT)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_SLOT, limit=limit))
