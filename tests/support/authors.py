"""Random checkpoints with the authors' names, for every test that needs one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foalnet.encoders import transformers_offline
from tests.support.hub import BASE, LARGE, WAVLM, needs_transformers

DIMS, WIDTH, PROJECT, CLASSES, HEADS = 12, 32, 10, 4, 4
KINDS = {"group norm": BASE, "layer norm": LARGE}
State = dict[str, Tensor]


def config(kind: str, **over: Any) -> Any:
    needs_transformers()
    return transformers_offline().WavLMConfig(**(WAVLM | KINDS[kind] | over))


def checkpoint(kind: str, *, layers: int = 2, **over: Any) -> tuple[State, Any]:
    """A random state dict with the authors' names, and the encoder's config."""
    architecture = config(kind, **over)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        wavlm = transformers_offline().WavLMModel(architecture)
        state = {f"wavlm.{name}": value.clone() for name, value in wavlm.state_dict().items()}
        for stack, width, other in (("a2v", WIDTH, DIMS), ("v2a", DIMS, WIDTH)):
            for layer in range(layers):
                for name, inner in (("w_q", width), ("w_k", other), ("w_v", other), ("w_concat", width)):
                    state[f"{stack}.{layer}.{name}.weight"] = torch.randn(width, inner) * 0.4
                    state[f"{stack}.{layer}.{name}.bias"] = torch.randn(width) * 0.2
                state[f"{stack}.{layer}.ln.weight"] = 1 + 0.1 * torch.randn(width)
                state[f"{stack}.{layer}.ln.bias"] = 0.1 * torch.randn(width)
            state[f"{stack}_head.weight"], state[f"{stack}_head.bias"] = 0.3 * torch.randn(2, width), torch.randn(2)
        for side, width in (("audio", WIDTH), ("video", DIMS)):
            state[f"{side}_project.linear1.weight"] = torch.randn(PROJECT, width) * 0.3
            state[f"{side}_project.linear2.weight"] = torch.randn(PROJECT, PROJECT) * 0.3
            state[f"{side}_project.layer_norm.weight"] = 1 + 0.1 * torch.randn(PROJECT)
            state[f"{side}_project.layer_norm.bias"] = 0.1 * torch.randn(PROJECT)
        state["cls_head.weight"], state["cls_head.bias"] = (
            0.3 * torch.randn(CLASSES, WIDTH + DIMS),
            torch.randn(CLASSES),
        )
        state["temp"] = torch.tensor(2.1)
    return state, architecture
