"""Sets a network's dropouts and initial weights if params leave them to the pretrained encoder.

Source: docs/method.md, encoders and task 1 (released code).
"""

from __future__ import annotations

import torch
from torch import nn

from foalnet.core.errors import UsageError
from foalnet.encoders import Pretrained
from foalnet.nets.encoder import PretrainedEncoder

DEVIATION = 0.02
# The library's default, for a config that does not state it.
FINAL_DROPOUT = 0.1


def final_dropout(pretrained: Pretrained | None, param: str) -> float:
    """Return `final_dropout` of the pretrained sound encoder's config, for a dropout that `param` leaves null.

    UsageError (exit 2) names the param if there is no such encoder.
    """
    if pretrained is None:
        raise UsageError(
            f"{param} is null, and there is no pretrained sound encoder to take it from",
            action="give it a number in params.yaml",
        )
    return float(pretrained.config.get("final_dropout", FINAL_DROPOUT))


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
