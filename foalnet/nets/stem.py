"""The stem of a fusion: every modality at one width, and a learned vector where an utterance lacks one.

Source: our own; all rival systems of the comparison share it, so that they differ in the fusion alone (docs/method.md).
Shape letters: B utterances, T steps, D width of an encoder, W width of the stem.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from foalnet.config.variants import Modality
from foalnet.nets.encoder import Encoder
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Encoded, Steps


class Stem(nn.Module):
    """Linear layer, LayerNorm and dropout per modality; a learned vector is the only step of a missing modality.

    So every modality of every utterance has at least one valid step, and no attention is over nothing.
    """

    def __init__(self, encoders: Mapping[Modality, Encoder], width: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                modality: nn.Sequential(nn.Linear(encoder.width, width), nn.LayerNorm(width), nn.Dropout(dropout))
                for modality, encoder in encoders.items()
            }
        )
        self.missing = nn.ParameterDict({modality: nn.Parameter(torch.zeros(width)) for modality in encoders})
        for vector_W in self.missing.values():
            nn.init.normal_(vector_W, std=0.02)

    def forward(self, encoded: Encoded) -> dict[Modality, Steps]:
        """Return the steps of each modality, values [B, T, W] with T >= 1."""
        return {modality: self._one(modality, steps) for modality, steps in encoded.items()}

    def _one(self, modality: Modality, steps: Steps) -> Steps:
        values_BTD, mask_BT = steps.values_BTD, steps.mask_BT
        values_BTW = zero_masked(self.layers[modality](values_BTD), mask_BT)
        absent_B = ~mask_BT.any(dim=1)
        first_BT = first_step(mask_BT) & absent_B[:, None]
        values_BTW = torch.where(first_BT[..., None], self.missing[modality], values_BTW)
        return Steps(values_BTD=values_BTW, mask_BT=mask_BT | first_BT)


def first_step(mask_BT: Tensor) -> Tensor:
    """Return a mask that is True at the first step alone.

    >>> first_step(torch.zeros(1, 3, dtype=torch.bool)).tolist()
    [[True, False, False]]
    """
    first_BT = torch.zeros_like(mask_BT)
    first_BT[:, 0] = True
    return first_BT
