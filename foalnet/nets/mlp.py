"""An encoder of precomputed picture features with one hidden layer; its input is that of `linear`.

Shape letters: B utterances, F frames, X feature width, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from foalnet.config.blocks import VideoEncoder
from foalnet.nets.augment import disturb
from foalnet.nets.encoder import InputShape
from foalnet.nets.linear import CLIP, Linear
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

__all__ = ["CLIP", "HIDDEN", "Mlp"]

# Units of the hidden layer per unit of the output.
HIDDEN = 2


class Mlp(Linear):
    """One step per row of the feature table; with `augment`, training adds noise to the features and hides some."""

    def __init__(self, params: VideoEncoder, shape: InputShape) -> None:
        super().__init__(params.model_copy(update={"width": HIDDEN * params.width}), shape)
        self.width, self.augment = params.width, params.augment
        self.out = nn.Linear(HIDDEN * params.width, params.width)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BFD and the frame mask."""
        pictures = inputs.raw["video"]
        x_BFX = self.standardised(inputs)
        if self.training and self.augment:
            x_BFX = disturb(x_BFX)
        values_BFD = self.out(self.dropout(F.gelu(self.linear(x_BFX))))
        return Steps(values_BTD=zero_masked(values_BFD, pictures.mask_BT), mask_BT=pictures.mask_BT)
