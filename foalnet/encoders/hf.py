"""Loads transformers offline and quietly, after the torchaudio shim, and refuses weights with missing tensors."""

from __future__ import annotations

import importlib.metadata
import os
from types import ModuleType
from typing import Any

from foalnet.core.errors import MachineError
from foalnet.core.shim import load_torchaudio
from foalnet.encoders.store import Pretrained


def transformers_offline() -> ModuleType:
    """Return transformers, set to offline; MachineError (exit 4) if it is not installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    load_torchaudio()
    try:
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise no_transformers(error) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


def library_version() -> str:
    """Return the version of transformers, because another version may compute other numbers."""
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError as error:
        raise no_transformers(error) from error


def load_model(kind: str, pretrained: Pretrained, config: Any, **options: Any) -> Any:
    """Return a transformers model of class `kind` in float32 with its published weights, or new ones without a folder.

    `options`: further arguments of the class, such as `add_pooling_layer`.
    MachineError (exit 4) if the file lacks a tensor of the architecture, which the library would initialise at random.
    """
    import torch

    model_class = getattr(transformers_offline(), kind)
    if pretrained.folder is None:
        return model_class(config, **options)
    model, loading = model_class.from_pretrained(
        pretrained.folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    lacking = sorted({*loading["missing_keys"], *(str(row[0]) for row in loading["mismatched_keys"])})
    if lacking:
        raise MachineError(
            f"the weights {pretrained.name} lack {len(lacking)} tensors of their architecture, such as {lacking[0]}",
            file=pretrained.folder,
            action=f"remove the folder and run `foalnet weights fetch {pretrained.name}`",
        )
    return model


def no_transformers(error: BaseException) -> MachineError:
    """Return the error that names the packages that pretrained encoders need."""
    return MachineError(
        f"pretrained encoders need the packages of the extra `hf`: {error}",
        action="pip install -c constraints.txt -e '.[hf]'",
    )
