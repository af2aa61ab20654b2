"""Converts a published pickle to safetensors without running its code; the same pickle gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foalnet.core.errors import DataError, reason
from foalnet.core.files import NotPlain, not_read, open_plain, publishing

# Keys under which training scripts store a state dict among other things.
NESTED = ("state_dict", "model_state_dict", "model")
MOST_BYTES = 1 << 34
ACTION = "download the file again from its publisher; foalnet never loads a pickle that runs code"


def to_safetensors(pickle: Path, out: Path) -> None:
    """Write the tensors of a pickled state dict as safetensors.

    DataError (exit 3) if it holds anything but tensors by name, or cannot be read without running code.
    """
    from safetensors.torch import save_file

    state = read_pickle(pickle)
    # Cloned, because safetensors rejects tensors that share memory.
    plain = {name: state[name].contiguous().clone() for name in sorted(state)}
    with publishing(out) as temp:
        save_file(plain, temp, metadata={"format": "pt"})


def read_state(file: Path) -> dict[str, Any]:
    """Return the tensors by name of a safetensors file, or of a pickle without running its code.

    They may also be below `state_dict`, `model` or `model_state_dict`. DataError (exit 3) if the file is absent, not a
    plain file, damaged, or holds anything else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_plain(file)
    if file.suffix != ".safetensors":
        return read_pickle(file)
    try:
        state: dict[str, Any] = load_file(file)
    except SafetensorError as error:
        raise DataError(f"the checkpoint is damaged: {reason(error)}", file=file, action="copy it again") from error
    return state


def _check_plain(file: Path) -> None:
    """Raise DataError (exit 3) for a file that is not plain or too large: reading it might never end."""
    try:
        open_plain(file, MOST_BYTES).close()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError("there is no such checkpoint", file=file, action="correct the path") from error
    except NotPlain as error:
        raise DataError(f"this is not a checkpoint: {error}", file=file, action="correct the path") from error
    except OSError as error:
        raise not_read(error, file) from error


def read_pickle(pickle: Path) -> dict[str, Any]:
    """Return the tensors of a pickled state dict; DataError (exit 3) if the file holds anything else."""
    import torch

    _check_plain(pickle)
    try:
        state = torch.load(pickle, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many exception types for an unsafe or damaged pickle
        raise DataError(
            f"the pickle cannot be read as plain tensors: {reason(error).splitlines()[0]}", file=pickle, action=ACTION
        ) from error
    if isinstance(state, dict):
        state = next((state[name] for name in NESTED if isinstance(state.get(name), dict)), state)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise DataError("the pickle is not a mapping from names to tensors", file=pickle, action=ACTION)
    return state
