"""Concatenation of the modalities' means, the floor of the comparison: what a fusion gains, it gains over this one.

Source: our own reference; the rival papers print the same row as "concat". No layer lets one modality read another.
Shape letters: B utterances, T steps, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, classifier
from foalnet.nets.encoder import Encoder
from foalnet.nets.masks import masked_mean
from foalnet.nets.tensors import Inputs, Outputs


class Config(FusionConfig):
    """The params of the concatenation."""


class Concat(Fusion):
    """Stem -> masked mean of each modality, joined -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        self.head = classifier(len(encoders) * config.width, classes, config)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC."""
        encoded, stemmed = self.stemmed(inputs)
        means = [masked_mean(steps.values_BTD, steps.mask_BT) for steps in stemmed.values()]
        return Outputs(logits_BC=self.head(torch.cat(means, dim=1)), encoded=encoded)
