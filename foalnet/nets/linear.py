"""An encoder of precomputed features of pictures or text: standardised by the training fold, then one linear layer.

Shape letters: B utterances, T frames or vectors of text, X feature width, D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from foalnet.config.blocks import TextEncoder, VideoEncoder
from foalnet.config.variants import Modality
from foalnet.nets.encoder import Encoder, InputShape, Moments, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

# A feature further out than this many deviations is more often an extractor's fault than a face.
CLIP = 5.0


class Linear(Encoder):
    """One step per feature vector."""

    def __init__(self, params: VideoEncoder | TextEncoder, shape: InputShape, *, modality: Modality = "video") -> None:
        super().__init__()
        width = shape.width(modality, params.encoder)
        self.modality, self.width = modality, params.width
        self.mean_X: Tensor
        self.deviation_X: Tensor
        self.register_buffer("mean_X", torch.zeros(width))
        self.register_buffer("deviation_X", torch.ones(width))
        self.linear = nn.Linear(width, params.width)
        self.dropout = nn.Dropout(chance(params.dropout))

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and deviation of each feature over the training fold."""
        moments = Moments()
        for batch in batches:
            steps = batch.raw[self.modality]
            moments.add(steps.values_BTD[steps.mask_BT])
        moments.into(self.mean_X, self.deviation_X)

    def standardised(self, inputs: Inputs) -> Tensor:
        """Return the features standardised by the training fold, [B, T, X]."""
        x_BTX: Tensor = ((inputs.raw[self.modality].values_BTD - self.mean_X) / self.deviation_X).clamp(-CLIP, CLIP)
        return x_BTX

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and the mask of the vectors."""
        mask_BT = inputs.raw[self.modality].mask_BT
        values_BTD = self.dropout(self.linear(self.standardised(inputs)))
        return Steps(values_BTD=zero_masked(values_BTD, mask_BT), mask_BT=mask_BT)
