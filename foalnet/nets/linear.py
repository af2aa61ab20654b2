"""An encoder of precomputed picture features: standardises by the training fold, then applies one linear layer.

Shape letters: B utterances, F frames, X feature width, D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from foalnet.config.blocks import VideoEncoder
from foalnet.core.errors import UsageError
from foalnet.nets.encoder import Encoder, InputShape, Moments, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

# A feature further out than this many deviations is more often an extractor's fault than a face.
CLIP = 5.0


class Linear(Encoder):
    """One step per row of the feature table."""

    def __init__(self, params: VideoEncoder, shape: InputShape) -> None:
        super().__init__()
        if len(shape.frame) != 1:
            raise UsageError(
                f"encoder {params.encoder} needs feature vectors, this corpus has frames of shape {list(shape.frame)}",
                action="set train.video.encoder: crop_cnn for train.picture: face or half",
            )
        self.width = params.width
        self.mean_X: Tensor
        self.deviation_X: Tensor
        self.register_buffer("mean_X", torch.zeros(shape.frame[0]))
        self.register_buffer("deviation_X", torch.ones(shape.frame[0]))
        self.linear = nn.Linear(shape.frame[0], params.width)
        self.dropout = nn.Dropout(chance(params.dropout))

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and deviation of each feature over the training fold."""
        moments = Moments()
        for batch in batches:
            moments.add(batch.raw["video"].values_BTD[batch.raw["video"].mask_BT])
        moments.into(self.mean_X, self.deviation_X)

    def standardised(self, inputs: Inputs) -> Tensor:
        """Return the features standardised by the training fold, [B, F, X]."""
        x_BFX: Tensor = ((inputs.raw["video"].values_BTD - self.mean_X) / self.deviation_X).clamp(-CLIP, CLIP)
        return x_BFX

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BFD and the frame mask."""
        pictures = inputs.raw["video"]
        values_BFD = self.dropout(self.linear(self.standardised(inputs)))
        return Steps(values_BTD=zero_masked(values_BFD, pictures.mask_BT), mask_BT=pictures.mask_BT)
