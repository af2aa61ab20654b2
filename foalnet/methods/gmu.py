"""The Gated Multimodal Unit (Arevalo et al., ICLR workshop 2017, arXiv 1702.01992).

A gate for each unit decides how much of each modality's vector reaches the fused one. Exact: the unit for two
modalities, h = z tanh(W_a a) + (1 - z) tanh(W_v v) with z = sigmoid(W_z [a; v]), and the paper's form for more of
them, where each modality has a gate of its own. No layer has a bias, as in its equations. Our interpretation: the unit
reads masked means of the stem, and the shared classifier follows in place of the paper's maxout layers.
Shape letters: B utterances, T steps, D width, M modalities, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, classifier
from foalnet.nets.encoder import Encoder
from foalnet.nets.masks import masked_mean
from foalnet.nets.tensors import Inputs, Outputs


class Config(FusionConfig):
    """The params of the Gated Multimodal Unit."""


class GatedUnit(nn.Module):
    """The unit: of two modalities one gate and its complement, of more one gate each."""

    def __init__(self, width: int, modalities: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(modalities))
        gates = 1 if modalities == 2 else modalities
        self.gates = nn.ModuleList(nn.Linear(modalities * width, width, bias=False) for _ in range(gates))

    def forward(self, x_MBD: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the fused vector [B, D] and the gates averaged over its units, [B, M]."""
        joined_BX = torch.cat(list(x_MBD), dim=1)
        gates = [gate(joined_BX).sigmoid() for gate in self.gates]
        if len(gates) == 1:
            gates = [gates[0], 1 - gates[0]]
        hidden = [layer(x_BD).tanh() for layer, x_BD in zip(self.hidden, x_MBD, strict=True)]
        gates_MBD = torch.stack(gates)
        return (gates_MBD * torch.stack(hidden)).sum(dim=0), gates_MBD.mean(dim=2).T


class Gmu(Fusion):
    """Stem -> masked mean of each modality -> gated unit -> classifier."""

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
        self.unit = GatedUnit(config.width, len(encoders))
        self.explained = {"gates": self.inputs}
        self.head = classifier(config.width, classes, config)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; `explain` has the gates of the modalities in the order of the variant's inputs."""
        encoded, stemmed = self.stemmed(inputs)
        fused_BD, gates_BM = self.unit([masked_mean(steps.values_BTD, steps.mask_BT) for steps in stemmed.values()])
        return Outputs(logits_BC=self.head(fused_BD), encoded=encoded, explain={"gates": gates_BM})
