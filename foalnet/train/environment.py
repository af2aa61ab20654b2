"""The environment of a training: device, threads, determinism, and stop requests by signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from foalnet.config import Settings
from foalnet.config.blocks import Train
from foalnet.core.errors import Interrupted
from foalnet.core.processor import instructions, processor
from foalnet.core.shim import torch_device
from foalnet.train import ranks
from foalnet.train.precision import Precision


def threads(settings: Settings) -> int:
    """Return the number of torch threads per fold: the setting, or 1, with which folds run in parallel."""
    return settings.threads or 1


def device(settings: Settings) -> torch.device:
    """Return the device that the settings name; MachineError (exit 4) if this machine does not have it.

    Of several processes each uses the GPU of its own number.
    """
    chosen = torch_device(settings.device)
    if chosen.type == "cuda" and ranks.started():
        return torch_device(f"cuda:{ranks.local_rank()}")
    return chosen


def at_start(settings: Settings, params: Train) -> str:
    """Return one line about device, threads and precision of a training, for a log."""
    where = device(settings)
    name = f"{where} ({torch.cuda.get_device_name(where)})" if where.type == "cuda" else str(where)
    many = ranks.processes(settings)
    precision = Precision.of(params.precision, where).name
    return (
        f"device {name}, threads of a fold: {threads(settings)}, processes: {many}, "
        f"determinism {params.determinism}, precision {precision}, torch {torch.__version__}, "
        f"processor {processor()}, instructions {instructions()}"
    )


@contextmanager
def determined(level: str, thread_count: int) -> Iterator[None]:
    """Set torch to a level of determinism inside the block and restore the former settings after it.

    `strict`: an operation without a deterministic form is an error, and kernels are neither of reduced precision nor
    chosen by timing; `seeded`: seeds only; `off`: the same, and the caller seeds from entropy.
    """
    before = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    strict = level == "strict"
    torch.set_num_threads(thread_count)
    if strict:
        # cuBLAS reads this once, before its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # The same as use_deterministic_algorithms, which takes two seconds to import torch's compiler.
        torch.set_deterministic_debug_mode("error")
        # Filling memory that is anyway written before it is read would take a tenth of the training time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.backends.cudnn.benchmark = before[2]
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[3:5]
        torch.utils.deterministic.fill_uninitialized_memory = before[5]  # type: ignore[attr-defined]


class Stop:
    """A flag for stop requests; inside `listening`, Ctrl-C and SIGTERM set it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        """True after a stop was requested."""
        return self._event.is_set()

    def request(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Request a stop after the current step."""
        self._event.set()


@contextmanager
def listening() -> Iterator[Stop]:
    """Yield a Stop that Ctrl-C and SIGTERM set; outside the main thread, where Python allows no handlers, one unset.

    Interrupted (exit 5) at the end if a stop was requested and the block ended without an error of its own.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.requested:
        raise Interrupted("stopped after a step that was whole", action="run the same command again: it goes on there")
