"""A published pickle to safetensors, once: read without running its code, the same pickle always the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foalnet.core.errors import DataError, reason
from foalnet.core.files import NotPlain, not_read, open_plain, publishing

# Where training scripts put a state dict beside other things.
NESTED = ("state_dict", "model_state_dict", "model")
MOST_BYTES = 1 << 34
ACTION = "get the file again from where it was published; a pickle that runs code on loading is never used"


def to_safetensors(pickle: Path, out: Path) -> None:
    """Write the tensors of a pickled state dict as safetensors.

    DataError (exit 3) where it holds anything but tensors by name, or cannot be read without running code.
    """
    from safetensors.torch import save_file

    state = read_pickle(pickle)
    # Cloned: safetensors refuses tensors that share memory.
    plain = {name: state[name].contiguous().clone() for name in sorted(state)}
    with publishing(out) as temp:
        save_file(plain, temp, metadata={"format": "pt"})


def read_state(file: Path) -> dict[str, Any]:
    """Return tensors by name: of a safetensors file, or of a pickle that is read without running its code.

    A checkpoint that holds them under `state_dict`, `model` or `model_state_dict` is opened. DataError (exit 3) where
    the file is absent, no plain file, damaged, or holds anything else.
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
    """Refuse (DataError, exit 3) what is no plain file, or too large: reading it might wait or grow without end."""
    try:
        open_plain(file, MOST_BYTES).close()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError("there is no such checkpoint", file=file, action="correct the path") from error
    except NotPlain as error:
        raise DataError(f"this is no checkpoint: {error}", file=file, action="correct the path") from error
    except OSError as error:
        raise not_read(error, file) from error


def read_pickle(pickle: Path) -> dict[str, Any]:
    """Return the tensors of a pickled state dict (DataError, exit 3, where it is anything else)."""
    import torch

    _check_plain(pickle)
    try:
        state = torch.load(pickle, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what it refuses
        raise DataError(
            f"the pickle cannot be read as plain tensors: {reason(error).splitlines()[0]}", file=pickle, action=ACTION
        ) from error
    if isinstance(state, dict):
        state = next((state[name] for name in NESTED if isinstance(state.get(name), dict)), state)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise DataError("the pickle is no mapping of names to tensors", file=pickle, action=ACTION)
    return state
