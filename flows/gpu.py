"""Limits training to the GPU slots of a global concurrency limit on Prefect's server, across all machines."""

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
"""With two GPUs: `prefect gcl update foalnet-gpu --limit 2`."""
PATIENCE_S = 10.0


@contextlib.contextmanager
def gpu_slot(stop: threading.Event | None) -> Iterator[None]:
    """Wait for a slot and hold it (Stopped once `stop` is set); after a kill its lease expires and frees it."""
    while True:
        if stop is not None and stop.is_set():
            raise Stopped("cancelled while it waited for the GPU")
        with contextlib.ExitStack() as held:
            try:
                # strict: an undefined limit is an error, not unlimited
                held.enter_context(concurrency(GPU_SLOT, strict=True, timeout_seconds=PATIENCE_S))
            except TimeoutError:
                continue
            yield
            return


def make_slot(limit: int = 1) -> None:
    """Create the limit on the server where it does not exist; an existing one is left alone."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_SLOT)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_SLOT, limit=limit))
