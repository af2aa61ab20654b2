"""MPT-HCL in our own form: prompts of weak modalities in every layer of a strong one, two contrastive losses.

Source: the abstract of Zou et al., ACM MM 2023 (arXiv 2310.04456). Exact: one strong modality, text where there is
text; filters turn the weak ones into prompts, which every attention layer of the strong one reads; an unsupervised and
a supervised contrastive loss on the fused vector. Our interpretation, for the equations could not be read: a filter is
attention of learned queries on a weak modality; each level gates the prompts of the one before; prompts are a prefix of
keys and values; the second pass of the unsupervised loss repeats stem and fusion with other dropout, not the encoders.
The paper reads a dialogue around the utterance; this network reads the utterance. Audio as the strong modality is a
transposition.
Shape letters: B utterances, T steps of the strong modality, N prompts, D width, E width of the fused vector, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout
from foalnet.config.variants import Modality, Weight
from foalnet.core.errors import UsageError
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, Losses, classifier, param
from foalnet.nets.encoder import Encoder
from foalnet.nets.heads import check_heads
from foalnet.nets.losses.contrastive import supervised_contrastive, two_passes
from foalnet.nets.masks import masked_mean, zero_masked
from foalnet.nets.tensors import Inputs, Outputs, Steps

SOURCE = "ours, after the abstract of MPT-HCL"
LOSSES = ("unsupervised", "supervised")


class Config(FusionConfig):
    """The params of the prompts: L = L_ce + unsupervised L_passes + supervised L_contrast."""

    strong: Literal["auto", "text", "audio", "video"] = param(
        "auto", "modality that reads the others' prompts; auto: text where it is given, else audio", source=SOURCE
    )
    prompts: Annotated[int, Field(ge=1, le=256)] = param(8, "prompts of each weak modality", source=SOURCE)
    layers: Annotated[int, Field(ge=1, le=64)] = param(
        2, "layers of the strong modality, and levels of prompts", source=SOURCE
    )
    heads: Annotated[int, Field(ge=1, le=64)] = param(4, "attention heads", source=SOURCE)
    dropout: Dropout = param(0.1, "inside filters and layers", unit="probability", source=SOURCE)
    unsupervised: Weight = param(
        0.1, "weight of the loss between two passes", unit="factor", source=SOURCE, losses=["unsupervised"]
    )
    supervised: Weight = param(
        0.1, "weight of the supervised contrastive loss", unit="factor", source=SOURCE, losses=["supervised"]
    )
    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = param(
        0.1, "both contrastive losses divide cosines by it", unit="factor", source=SOURCE, losses=LOSSES
    )


@dataclass(frozen=True, kw_only=True)
class MptOutputs(Outputs):
    """The logits and the fused vector; `second_BE` is that of a second pass, or the same where nothing is random."""

    fused_BE: Tensor
    second_BE: Tensor


class PromptFilter(nn.Module):
    """Attention of learned queries on a weak modality: its first prompts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.query_ND = nn.Parameter(torch.empty(config.prompts, config.width))
        nn.init.normal_(self.query_ND, std=0.02)
        self.attention = nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True)

    def forward(self, weak: Steps) -> Tensor:
        """Return the prompts, [B, N, D]."""
        query_BND = self.query_ND.expand(len(weak.mask_BT), -1, -1)
        values_BTD = weak.values_BTD
        prompts_BND: Tensor = self.attention(
            query_BND, values_BTD, values_BTD, key_padding_mask=~weak.mask_BT, need_weights=False
        )[0]
        return prompts_BND


class PromptLayer(nn.Module):
    """A gate on the prompts, then a layer, normed first, in which they precede the strong modality's keys and values.

    The attention's own linear layers are on the prefix too.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.gate = nn.Linear(width, width)
        self.prefix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, config.dropout, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(config.dropout),
        )

    def forward(self, strong: Steps, prompts_BND: Tensor) -> tuple[Steps, Tensor, Tensor]:
        """Return the strong modality's steps, the gated prompts, and each prompt's mean gate, [B, N]."""
        x_BTD, mask_BT = strong.values_BTD, strong.mask_BT
        gate_BND = self.gate(prompts_BND).sigmoid()
        prompts_BND = gate_BND * prompts_BND
        key_BND, value_BND = self.prefix(prompts_BND).chunk(2, dim=2)
        normed_BTD = self.norm(x_BTD)
        there_BS = torch.cat([mask_BT.new_ones(prompts_BND.shape[:2]), mask_BT], dim=1)
        read_BTD = self.attention(
            normed_BTD,
            torch.cat([key_BND, normed_BTD], dim=1),
            torch.cat([value_BND, normed_BTD], dim=1),
            key_padding_mask=~there_BS,
            need_weights=False,
        )[0]
        x_BTD = x_BTD + self.dropout(read_BTD)
        x_BTD = zero_masked(x_BTD + self.feed_forward(x_BTD), mask_BT)
        return Steps(values_BTD=x_BTD, mask_BT=mask_BT), prompts_BND, gate_BND.mean(dim=2)


class MptStyle(Fusion):
    """Stem -> prompts of the weak modalities -> layers of the strong one -> means of all, joined -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    losses: ClassVar[Mapping[str, str]] = {name: name for name in LOSSES}

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        check_heads(config.width, config.heads, "mpt_style")
        self.config = config
        self.strong = _strong(self.inputs, config)
        self.weak = tuple(modality for modality in self.inputs if modality != self.strong)
        self.filters = nn.ModuleDict({modality: PromptFilter(config) for modality in self.weak})
        self.layers = nn.ModuleList(PromptLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = classifier(config.width * len(encoders), classes, config)

    def forward(self, inputs: Inputs) -> MptOutputs:
        """Return logits_BC; the mean gate of each weak modality's prompts in each layer explains them."""
        encoded, steps = self.stemmed(inputs)
        fused_BE, explain = self.fuse(steps)
        twice = self.training and "unsupervised" in self.weights
        second_BE = self.fuse(self.stem(encoded))[0] if twice else fused_BE
        return MptOutputs(
            logits_BC=self.head(fused_BE), encoded=encoded, explain=explain, fused_BE=fused_BE, second_BE=second_BE
        )

    def fuse(self, steps: Mapping[Modality, Steps]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fused vector, and per weak modality the mean gate of its prompts in each layer, [B, L]."""
        strong = steps[self.strong]
        prompts_BND = torch.cat([self.filters[modality](steps[modality]) for modality in self.weak], dim=1)
        gates = []
        for layer in self.layers:
            strong, prompts_BND, gate_BN = layer(strong, prompts_BND)
            gates.append(gate_BN)
        by_weak = (len(self.weak), self.config.prompts)
        means_BWD = prompts_BND.unflatten(1, by_weak).mean(dim=2)
        gate_BWL = torch.stack(gates, dim=2).unflatten(1, by_weak).mean(dim=2)
        strong_BD = masked_mean(self.norm(strong.values_BTD), strong.mask_BT)
        explain = {f"gate_{modality}": gate_BWL[:, place] for place, modality in enumerate(self.weak)}
        return torch.cat([strong_BD, means_BWD.flatten(1)], dim=1), explain

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:
        """Return the two contrastive losses, those that are on."""
        assert isinstance(outputs, MptOutputs)
        losses, temperature = {}, self.config.temperature
        if "unsupervised" in self.weights:
            losses["unsupervised"] = two_passes(outputs.fused_BE, outputs.second_BE, temperature)
        if "supervised" in self.weights:
            losses["supervised"] = supervised_contrastive(outputs.fused_BE, label_B, temperature)
        return Losses(losses=losses, counts={})


def _strong(inputs: tuple[Modality, ...], config: Config) -> Modality:
    """Return the strong modality; UsageError (exit 2) if the variant lacks it."""
    if config.strong == "auto":
        return "text" if "text" in inputs else "audio"
    if config.strong not in inputs:
        raise UsageError(
            f"methods.mpt_style.strong: {config.strong} is no input of this variant, which has {', '.join(inputs)}",
            action="set it to auto or to one of them",
        )
    return config.strong
