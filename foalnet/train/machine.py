"""Where training runs: device, threads, determinism; and how it is stopped from outside."""

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
from foalnet.core.processor import instructions, processor
from foalnet.core.shim import torch_device
from foalnet.train import ranks
from foalnet.train.precision import Precision

STAGE = "train"


def threads(settings: Settings) -> int:
    """Return how many threads torch uses for one fold: the setting, or one (folds then run side by side)."""
    return settings.threads or 1


def device(settings: Settings) -> torch.device:
    """Return the device that the settings ask for (MachineError, exit 4, where this machine lacks it).

    Of several processes each takes the GPU of its own number.
    """
    found = torch_device(settings.device, stage=STAGE)
    if found.type == "cuda" and ranks.started():
        return torch_device(f"cuda:{ranks.local_rank()}", stage=STAGE)
    return found


def at_start(settings: Settings, params: Train) -> str:
    """Return one line of how and where training runs, for a log."""
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
    """Hold torch to a level of determinism inside the block; what was set before comes back after it.

    `strict`: an operation without a deterministic form is an error, and no reduced-precision or searched kernels;
    `seeded`: seeds alone; `off`: the same, and the caller seeds from entropy.
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
        # cuBLAS reads it once, before its first call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # The same as use_deterministic_algorithms, without the two seconds in which that imports torch's compiler.
        torch.set_deterministic_debug_mode("error")
        # Filling memory that is written to before it is read costs a tenth of a training's time.
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
    """Tells whether somebody asked to stop; inside `listening` Ctrl-C and SIGTERM ask."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        """True from the moment that somebody asked."""
        return self._event.is_set()

    def ask(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask to stop after the step at work."""
        self._event.set()


@contextmanager
def listening() -> Iterator[Stop]:
    """Give a Stop that Ctrl-C and SIGTERM ask; outside the main thread, where Python allows no handlers, a mute one."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
