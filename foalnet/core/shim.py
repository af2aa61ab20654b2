"""Access to torch: torchaudio with any build of torch, single-threaded sums, the device.

On Linux x86_64 torchaudio's wheels link CUDA libraries that only a CUDA build of torch brings; with a CPU build
`import torchaudio` raises OSError. foalnet does not need the compiled part (forced alignment, RNN-T loss) and replaces
it by a stub that reports it as absent. Call `load_torchaudio()` before each lazy import of torchaudio, and before
transformers, which imports torchaudio if it is installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from foalnet.core.errors import MachineError, reason

if TYPE_CHECKING:
    import torch


def load_torchaudio() -> ModuleType:
    """Return torchaudio, usable with CPU and CUDA builds of torch (MachineError, exit 4, if it is not installed).

    Without the compiled extension `functional`, `transforms` and `models` work; `forced_align`, `rnnt_loss`, `load` and
    `save` do not.
    """
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        _forget("torchaudio")
        sys.modules["torchaudio._extension"] = _extension_stub()
    except ImportError as error:
        raise _unusable(error) from error
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError) as error:
        _forget("torchaudio")
        raise _unusable(error) from error


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run torch on one thread inside the block: sums are the same on every machine, worker processes do not compete."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_device(name: str) -> torch.device:
    """Return the torch.device for the setting `device`: auto (a GPU if torch sees one), cpu, cuda or cuda:N.

    Raises MachineError (exit 4) for a GPU that this machine lacks.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"device '{name}' is set; torch {torch.__version__} sees {torch.cuda.device_count()} GPUs on this machine",
            action="install a CUDA build of torch and a driver, or set FOALNET_DEVICE=cpu",
        )
    return device


@contextmanager
def exact_torch() -> Iterator[None]:
    """Use one thread on the CPU and full precision on a GPU, so that the numbers depend little on the machine."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    try:
        with one_torch_thread():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]
        torch.backends.cudnn.benchmark = before[2]


def _forget(package: str) -> None:
    """Remove a partly imported package from sys.modules, so that the next import starts from the beginning."""
    for name in sorted(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]


def _unusable(error: BaseException) -> MachineError:
    return MachineError(
        f"torchaudio cannot be imported: {reason(error)}",
        action="install the pinned packages: pip install -c constraints.txt -e .",
    )


def _fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace torchaudio's decorator: the decorated function raises an error that says why it cannot run."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which this torch cannot load")

    return fail


def _check_cuda_version() -> None:
    """Replace torchaudio's check of CUDA versions; without a compiled part there is none to compare."""


def _extension_stub() -> ModuleType:
    """Return a stand-in for the module that reports which compiled parts torchaudio has: none."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub._check_cuda_version = _check_cuda_version
    stub.fail_if_no_align = _fail_if_no_align
    return stub
