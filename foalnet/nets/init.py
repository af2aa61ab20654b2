"""Sets a network's dropouts and initial weights if params leave them to the pretrained encoder.

Source: METHOD, encoders and task 1 (released code).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from foalnet.config.blocks import Train
from foalnet.core.errors import UsageError
from foalnet.encoders import Pretrained
from foalnet.nets.encoder import PretrainedEncoder

DEVIATION = 0.02
# The library's default, for a config that does not state it.
FINAL_DROPOUT = 0.1


def with_dropouts(params: Train, pretrained: Pretrained | None) -> Train:
    """Return params with null dropouts replaced by `final_dropout` of the pretrained sound encoder's config.

    UsageError (exit 2) names a null if there is no such encoder.
    """
    blocks = {"audio": "dropout", "video": "dropout", "fusion": "head_dropout"}
    open_ = {block: name for block, name in blocks.items() if getattr(getattr(params, block), name) is None}
    if not open_:
        return params
    if pretrained is None:
        block, name = next(iter(open_.items()))
        raise UsageError(
            f"train.{block}.{name} is null, and there is no pretrained sound encoder to take it from",
            action="give it a number in params.yaml",
        )
    rate = float(pretrained.config.get("final_dropout", FINAL_DROPOUT))
    changed: dict[str, Any] = {
        block: getattr(params, block).model_copy(update={name: rate}) for block, name in open_.items()
    }
    return params.model_copy(update=changed)


@torch.no_grad()
def normal_(net: nn.Module) -> None:
    """Initialise linear layers from N(0, 0.02), biases with 0, norms with 1 and 0; keep a pretrained encoder.

    Draws from torch's global generator.
    """
    tuned = {id(part) for each in net.modules() if isinstance(each, PretrainedEncoder) for part in each.tuned.modules()}
    for part in net.modules():
        if id(part) in tuned:
            continue
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
            part.weight.normal_(0.0, DEVIATION)
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, nn.LayerNorm):
            part.weight.fill_(1.0)
            part.bias.zero_()
