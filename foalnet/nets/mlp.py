"""An encoder of precomputed features of pictures or text with one hidden layer; its input is that of `linear`.

Shape letters: B utterances, T frames or vectors of text, X feature width, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from foalnet.config.blocks import TextEncoder, VideoEncoder
from foalnet.config.variants import Modality
from foalnet.nets.augment import disturb
from foalnet.nets.encoder import InputShape
from foalnet.nets.linear import CLIP, Linear
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

__all__ = ["CLIP", "HIDDEN", "Mlp"]

# Units of the hidden layer per unit of the output.
HIDDEN = 2


class Mlp(Linear):
    """One step per feature vector; with `augment`, training adds noise to the features and hides some."""

    def __init__(self, params: VideoEncoder | TextEncoder, shape: InputShape, *, modality: Modality = "video") -> None:
        super().__init__(params.model_copy(update={"width": HIDDEN * params.width}), shape, modality=modality)
        self.width, self.augment = params.width, params.augment
        self.out = nn.Linear(HIDDEN * params.width, params.width)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and the mask of the vectors."""
        mask_BT = inputs.raw[self.modality].mask_BT
        x_BTX = self.standardised(inputs)
        if self.training and self.augment:
            x_BTX = disturb(x_BTX)
        values_BTD = self.out(self.dropout(F.gelu(self.linear(x_BTX))))
        return Steps(values_BTD=zero_masked(values_BTD, mask_BT), mask_BT=mask_BT)
