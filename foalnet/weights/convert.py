"""A published pickle to safetensors, once: read without running its code, the same pickle always the same bytes."""

from __future__ import annotations

from pathlib import Path

from foalnet.errors import DataError
from foalnet.files import publishing

ACTION = "get the file again from where it was published; a pickle that runs code on loading is never used"


def to_safetensors(pickle: Path, out: Path) -> None:
    """Write the tensors of a pickled state dict as safetensors.

    DataError (exit 3) where it holds anything but tensors by name, or cannot be read without running code.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(pickle, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what it refuses
        raise DataError(
            f"the pickle cannot be read as plain tensors: {str(error).splitlines()[0]}", file=pickle, action=ACTION
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise DataError("the pickle is no mapping of names to tensors", file=pickle, action=ACTION)
    # Cloned: safetensors refuses tensors that share memory.
    plain = {name: state[name].contiguous().clone() for name in sorted(state)}
    with publishing(out) as temp:
        save_file(plain, temp, metadata={"format": "pt"})
