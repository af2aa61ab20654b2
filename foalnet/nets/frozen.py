"""An encoder that another run has trained, and behind it a stem that learns.

AVEL shapes what lies before the fusion. Where the encoders no longer learn, the stem is what it shapes, and what the
fusion, the classifier and the projections read.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps


class Frozen(Encoder):
    """A stem that learns on the steps of an encoder that stays as it is, in evaluation mode.

    The stem: LayerNorm, dropout, two linear layers with GELU between them, LayerNorm. What single modalities did not
    need to tell apart is in the encoder's steps, but small; one linear layer is slow to make it large.

    Its steps are the same in every epoch; `encode` gives them, to be kept and given back as `inputs.encoded`.
    """

    def __init__(self, encoder: Encoder, modality: Literal["audio", "video"], dropout: float | None) -> None:
        super().__init__()
        self.encoder, self.modality, self.width = encoder.requires_grad_(False), modality, encoder.width
        width = self.width
        self.stem = nn.Sequential(
            nn.LayerNorm(width),
            nn.Dropout(chance(dropout)),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
        )

    def train(self, mode: bool = True) -> Frozen:
        """Set the stem's mode; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def prepare_steps(self, inputs: Inputs) -> Steps | None:
        """Return what the encoder prepares."""
        return self.encoder.prepare_steps(inputs)

    def encode(self, inputs: Inputs) -> Steps:
        """Return the encoder's own steps."""
        steps: Steps = self.encoder(inputs)
        return steps

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT behind the stem."""
        steps = getattr(inputs.encoded, self.modality) if inputs.encoded is not None else self.encode(inputs)
        return Steps(values_BTD=zero_masked(self.stem(steps.values_BTD), steps.mask_BT), mask_BT=steps.mask_BT)
