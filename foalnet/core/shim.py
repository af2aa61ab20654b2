"""Doors to torch: torchaudio beside any build of it, sums that do not depend on the number of threads, the device.

On Linux x86_64 torchaudio's wheels link CUDA libraries that only a CUDA torch brings; beside a CPU torch
`import torchaudio` ends in OSError. Its compiled part (forced alignment, RNN-T loss) is not needed here, so it is
replaced by a stub that says it is absent. Call `load_torchaudio()` before each lazy import of torchaudio, and before
transformers, which imports torchaudio by itself where it is installed.
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
    """Return torchaudio, usable on CPU and CUDA builds alike (MachineError, exit 4, where it is not installed).

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
    """Run torch on one thread inside the block: the same sums on every machine, and no crowd in a pool of processes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_device(asked: str, *, stage: str) -> torch.device:
    """Return the torch.device that the settings ask for: auto (a GPU where torch sees one), cpu, cuda or cuda:N.

    MachineError (exit 4) for a GPU that this machine lacks.
    """
    import torch

    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(asked)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"device '{asked}' was asked for; torch {torch.__version__} sees {torch.cuda.device_count()} GPUs here",
            stage=stage,
            action="install a CUDA build of torch and a driver, or set FOALNET_DEVICE=cpu",
        )
    return found


def _forget(package: str) -> None:
    """Drop a half-imported package, so that the next import starts anew."""
    for name in sorted(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]


def _unusable(error: BaseException) -> MachineError:
    return MachineError(
        f"torchaudio cannot be imported: {reason(error)}",
        action="install the pinned packages: pip install -c constraints.txt -e .",
    )


def _fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
    """Stand in for torchaudio's decorator: the decorated function exists and says why it cannot run."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which this torch cannot load")

    return fail


def _check_cuda_version() -> None:
    """Stand in for torchaudio's check: nothing compiled, nothing to compare."""


def _extension_stub() -> ModuleType:
    """Build the module that torchaudio asks what its compiled part can do; here: nothing."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub._check_cuda_version = _check_cuda_version
    stub.fail_if_no_align = _fail_if_no_align
    return stub
