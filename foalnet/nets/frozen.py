"""Wraps an encoder that another run has trained, and adds a stem that learns.

AVEL trains the layers before the fusion. With frozen encoders these are the stems; the fusion, the
classifier and the projections use their output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from foalnet.config.variants import Modality
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

# A direction with less than this share of the mean variance counts as noise and is not scaled up to the others.
SMALLEST = 1e-3
# Each round gains a factor of 2.25 for the smallest eigenvalue, then doubles the digits: enough for 1e-7.
ROUNDS = 30


class Frozen(Encoder):
    """A trainable stem on the steps of a frozen encoder in evaluation mode.

    The steps are whitened by statistics of the training fold, which use no label; then follow dropout, a linear layer
    and LayerNorm. Cues that are useless to one modality alone are in the encoder's steps, but small relative to the
    cues for which it was trained: without whitening a fusion learns cues of both modalities slowly.
    """

    def __init__(self, encoder: Encoder, modality: Modality, dropout: float | None) -> None:
        super().__init__()
        self.encoder, self.modality, self.width = encoder.requires_grad_(False), modality, encoder.width
        self.mean_D: Tensor
        self.whitening_DD: Tensor
        self.register_buffer("mean_D", torch.zeros(self.width))
        self.register_buffer("whitening_DD", torch.eye(self.width))
        self.stem = nn.Sequential(
            nn.Dropout(chance(dropout)), nn.Linear(self.width, self.width), nn.LayerNorm(self.width)
        )

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and whitening of the encoder's steps over the training fold."""
        self.eval()
        count, sum_D, product_DD = 0, self.mean_D.double(), torch.zeros_like(self.whitening_DD, dtype=torch.float64)
        for batch in batches:
            steps = self.encoded(batch)
            rows_ND = steps.values_BTD[steps.mask_BT].double()
            count, sum_D, product_DD = (
                count + len(rows_ND),
                sum_D + rows_ND.sum(dim=0),
                product_DD + rows_ND.T @ rows_ND,
            )
        if count > 1:
            mean_D = sum_D / count
            self.mean_D.copy_(mean_D)
            self.whitening_DD.copy_(inverse_root(product_DD / count - mean_D[:, None] * mean_D))

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

    def encoded(self, inputs: Inputs) -> Steps:
        """Return the encoder's steps: the batch's stored ones if it has them, else computed ones."""
        return inputs.encoded[self.modality] if self.modality in inputs.encoded else self.encode(inputs)

    def forward(self, inputs: Inputs) -> Steps:
        """Return the stem's values_BTD and mask_BT."""
        steps = self.encoded(inputs)
        white_BTD = (steps.values_BTD - self.mean_D) @ self.whitening_DD
        return Steps(values_BTD=zero_masked(self.stem(white_BTD), steps.mask_BT), mask_BT=steps.mask_BT)


def inverse_root(covariance_DD: Tensor) -> Tensor:
    """Return the symmetric W with W C W = 1 for a covariance C, after adding the share SMALLEST of the mean variance.

    It uses the Newton-Schulz iteration, which consists of products, so that the bytes are the same on all processors;
    an eigenvector solver does not guarantee that. Zeros if C is 0.
    """
    size = len(covariance_DD)
    one_DD = torch.eye(size, dtype=covariance_DD.dtype, device=covariance_DD.device)
    level = float(covariance_DD.trace()) / size
    if level <= 0.0:
        return torch.zeros_like(one_DD)
    scaled_DD = covariance_DD + SMALLEST * level * one_DD
    # All eigenvalues are then between 0 and 1, where the iteration converges.
    norm = float(scaled_DD.trace())
    root_DD, inverse_DD = scaled_DD / norm, one_DD
    for _ in range(ROUNDS):
        step_DD = (3.0 * one_DD - inverse_DD @ root_DD) / 2.0
        root_DD, inverse_DD = root_DD @ step_DD, step_DD @ inverse_DD
    return inverse_DD / math.sqrt(norm)
