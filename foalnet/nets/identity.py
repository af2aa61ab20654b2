"""An encoder that passes precomputed features on unchanged, as the paper does with those of CLIP.

Shape letters: B utterances, T frames or vectors of text, D feature width.
"""

from __future__ import annotations

from torch import nn

from foalnet.config.blocks import TextEncoder, VideoEncoder
from foalnet.config.variants import Modality
from foalnet.nets.encoder import Encoder, InputShape, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps


class Identity(Encoder):
    """Dropout on the features, padded steps exactly 0 (docs/method.md, encoders); it has no weights."""

    def __init__(self, params: VideoEncoder | TextEncoder, shape: InputShape, *, modality: Modality = "video") -> None:
        super().__init__()
        self.modality, self.width = modality, shape.width(modality, params.encoder)
        self.dropout = nn.Dropout(chance(params.dropout))

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and the mask of the vectors."""
        steps = inputs.raw[self.modality]
        values_BTD = zero_masked(steps.values_BTD, steps.mask_BT)
        return Steps(values_BTD=self.dropout(values_BTD), mask_BT=steps.mask_BT)
