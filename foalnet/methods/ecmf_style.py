"""ECMF-ICL in our own form: joint vectors between the modalities and an inter-class contrastive loss.

Source: the abstract of Shi et al., ICIC 2024 (arXiv 2405.17900). Exact: trainable joint vectors carry what passes
between modalities, two classifiers, a supervised contrastive loss. Our interpretation, for the equations could not be
read: a joint vector is a further step of each modality's transformer, and each layer averages what the modalities made
of it; the first classifier reads the joint vectors, the second the modalities; training adds both cross-entropies
(the second without class weights), prediction averages both logits. The modalities have no other path to each other.
Shape letters: B utterances, T steps, N joint vectors, D width, E width of all modalities side by side, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout
from foalnet.config.variants import Modality, Weight
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, Losses, classifier, param
from foalnet.nets.encoder import Encoder
from foalnet.nets.gather import share
from foalnet.nets.heads import check_heads
from foalnet.nets.losses.contrastive import supervised_contrastive
from foalnet.nets.masks import masked_mean
from foalnet.nets.tensors import UNSCORED, Inputs, Outputs, Steps

SOURCE = "ours, after the abstract of ECMF-ICL"


class Config(FusionConfig):
    """The params of the joint vectors: L = L_ce + second_head L_second + inter_class L_contrast."""

    vectors: Annotated[int, Field(ge=1, le=256)] = param(4, "joint vectors between the modalities", source=SOURCE)
    layers: Annotated[int, Field(ge=1, le=64)] = param(2, "layers of each modality's transformer", source=SOURCE)
    heads: Annotated[int, Field(ge=1, le=64)] = param(4, "attention heads", source=SOURCE)
    dropout: Dropout = param(0.1, "inside each layer of the transformers", unit="probability", source=SOURCE)
    head: Literal["own", "shared"] = param(
        "own", "two classifiers, of joint vectors and of modalities, or one that reads both", source=SOURCE
    )
    second_head: Weight = param(
        1.0, "weight of the modalities' cross-entropy, head: own", unit="factor", source=SOURCE, losses=["second_head"]
    )
    inter_class: Weight = param(
        0.2, "weight of the supervised contrastive loss", unit="factor", source=SOURCE, losses=["inter_class"]
    )
    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = param(
        0.1, "the contrastive loss divides cosines by it", unit="factor", source=SOURCE, losses=["inter_class"]
    )


@dataclass(frozen=True, kw_only=True)
class EcmfOutputs(Outputs):
    """The logits and what the losses need, None without that loss.

    `second_BC`: logits of the modalities' classifier; `contrast_BD`: what the contrastive loss compares.
    """

    second_BC: Tensor | None
    contrast_BD: Tensor | None


class JointLayer(nn.Module):
    """One transformer layer per modality over the joint vectors and its steps; the joint vectors are averaged."""

    def __init__(self, modalities: tuple[Modality, ...], config: Config) -> None:
        super().__init__()
        self.of = nn.ModuleDict(
            {
                modality: nn.TransformerEncoderLayer(
                    config.width, config.heads, 2 * config.width, config.dropout, F.gelu, batch_first=True
                )
                for modality in modalities
            }
        )

    def forward(self, joint_BND: Tensor, steps: Mapping[Modality, Steps]) -> tuple[Tensor, dict[Modality, Steps]]:
        """Return the joint vectors and the steps after the layer."""
        size = joint_BND.shape[1]
        joint, after = [], {}
        for modality, each in steps.items():
            there_BN = each.mask_BT.new_ones(joint_BND.shape[:2])
            both_BSD = self.of[modality](
                torch.cat([joint_BND, each.values_BTD], dim=1),
                src_key_padding_mask=~torch.cat([there_BN, each.mask_BT], dim=1),
            )
            joint.append(both_BSD[:, :size])
            after[modality] = Steps(values_BTD=both_BSD[:, size:], mask_BT=each.mask_BT)
        return torch.stack(joint).mean(dim=0), after


class EcmfStyle(Fusion):
    """Stem -> joint vectors between the modalities' transformers -> two classifiers."""

    config_type: ClassVar[type[base.Config]] = Config
    losses: ClassVar[Mapping[str, str]] = {"second_head": "second_head", "inter_class": "inter_class"}

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        self.explained = dict.fromkeys(("joint_head", "second_head"), classes)
        check_heads(config.width, config.heads, "ecmf_style")
        self.temperature = config.temperature
        width = config.width
        self.joint_ND = nn.Parameter(torch.empty(config.vectors, width))
        nn.init.normal_(self.joint_ND, std=0.02)
        self.layers = nn.ModuleList(JointLayer(self.inputs, config) for _ in range(config.layers))
        self.shared = config.head == "shared"
        self.head = classifier(width * (1 + len(encoders) * self.shared), classes, config)
        two = not self.shared and "second_head" in weights
        self.second_head = classifier(width * len(encoders), classes, config) if two else None
        self.contrast = nn.Linear(width, width) if "inter_class" in weights else None

    def forward(self, inputs: Inputs) -> EcmfOutputs:
        """Return logits_BC: in training those of the first classifier, else the average of both."""
        encoded, steps = self.stemmed(inputs)
        size = len(next(iter(steps.values())).mask_BT)
        joint_BND = self.joint_ND.expand(size, -1, -1)
        for layer in self.layers:
            joint_BND, steps = layer(joint_BND, steps)
        joint_BD = joint_BND.mean(dim=1)
        means_BE = torch.cat([masked_mean(each.values_BTD, each.mask_BT) for each in steps.values()], dim=1)
        first_BC = logits_BC = self.head(torch.cat([joint_BD, means_BE], dim=1) if self.shared else joint_BD)
        explain, second_BC = {}, None
        if self.second_head is not None:
            second_BC = self.second_head(means_BE)
            logits_BC = first_BC if self.training else (first_BC + second_BC) / 2
            explain = {"joint_head": first_BC.softmax(dim=1), "second_head": second_BC.softmax(dim=1)}
        return EcmfOutputs(
            logits_BC=logits_BC,
            encoded=encoded,
            explain=explain,
            second_BC=second_BC,
            contrast_BD=None if self.contrast is None else self.contrast(joint_BD),
        )

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:
        """Return the second classifier's cross-entropy and the supervised contrastive loss, those that are on."""
        assert isinstance(outputs, EcmfOutputs)
        losses = {}
        if outputs.second_BC is not None:
            mean = F.cross_entropy(outputs.second_BC, label_B, ignore_index=UNSCORED)
            losses["second_head"] = share(mean, (label_B != UNSCORED).sum())
        if outputs.contrast_BD is not None:
            losses["inter_class"] = supervised_contrastive(outputs.contrast_BD, label_B, self.temperature)
        return Losses(losses=losses, counts={})
