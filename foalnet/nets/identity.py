"""An encoder that passes precomputed picture features on unchanged, as the paper does with those of CLIP.

Shape letters: B utterances, F frames, D feature width.
"""

from __future__ import annotations

from torch import nn

from foalnet.config.blocks import VideoEncoder
from foalnet.core.errors import UsageError
from foalnet.nets.encoder import Encoder, InputShape, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps


class Identity(Encoder):
    """Dropout on the features, padded frames exactly 0 (docs/method.md, encoders); it has no weights."""

    def __init__(self, params: VideoEncoder, shape: InputShape) -> None:
        super().__init__()
        if len(shape.frame) != 1:
            raise UsageError(
                f"encoder identity needs feature vectors, this corpus has frames of shape {list(shape.frame)}",
                action="set train.video.encoder: crop_cnn for train.picture: face or half",
            )
        self.width = shape.frame[0]
        self.dropout = nn.Dropout(chance(params.dropout))

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BFD and the frame mask."""
        pictures = inputs.raw["video"]
        values_BFD = zero_masked(pictures.values_BTD, pictures.mask_BT)
        return Steps(values_BTD=self.dropout(values_BFD), mask_BT=pictures.mask_BT)
