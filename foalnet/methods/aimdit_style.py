"""AIMDiT in our own form: maps of two dimensions for convolutions, then attention between the modalities.

Source: the abstract of Wu et al., 2024 (arXiv 2407.00743), and a public review of it. Exact: 2-D maps of each sequence
and of the combined one under an Inception block, cross-modal and self-modal transformers. Our interpretation, for the
equations could not be read: every modality becomes the same number of segments, and the map has as its rows the
modalities (`fold: modality`), or the parts of one sequence that are a period long (`fold: period`, as TimesNet does,
with fixed periods: picked from a batch, they would make an answer depend on its neighbours). The combined sequence is
a linear layer on the modalities of a segment: after the maps with `modality`, before its own map with `period`.
All segments are valid, so a map has no padding but the zeros around it, which no mean counts.
Shape letters: B utterances, T segments, D width, R rows of a map, S its columns, P periods.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, classifier, param
from foalnet.nets.encoder import Encoder
from foalnet.nets.heads import check_heads
from foalnet.nets.segments import segments
from foalnet.nets.tensors import Inputs, Outputs

SOURCE = "ours, after the abstract of AIMDiT"
SIZES = (1, 3, 5)
PERIODS = (4, 8)
JOINED = "joined"


class Config(FusionConfig):
    """The params of the maps and of the attention after them."""

    fold: Literal["modality", "period"] = param(
        "modality", "rows of a map: the modalities, or the parts of one sequence of 4 and of 8 segments", source=SOURCE
    )
    segments: Annotated[int, Field(ge=8, le=1024, multiple_of=8)] = param(
        32, "parts that each modality is averaged to", source=SOURCE
    )
    hidden: Width = param(64, "width inside the Inception block", source=SOURCE)
    heads: Annotated[int, Field(ge=1, le=64)] = param(4, "attention heads", source=SOURCE)
    dropout: Dropout = param(0.1, "inside the attention", unit="probability", source=SOURCE)


class Inception(nn.Module):
    """Width to hidden width and back, with GELU between; each is the mean of convolutions of 1, 3 and 5 squared."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(width, hidden, size, padding=size // 2) for size in SIZES)
        self.widen = nn.ModuleList(nn.Conv2d(hidden, width, size, padding=size // 2) for size in SIZES)

    def forward(self, map_BRSD: Tensor) -> Tensor:
        """Return a map of the same shape."""
        map_BDRS = map_BRSD.permute(0, 3, 1, 2)
        inner_BHRS = F.gelu(torch.stack([conv(map_BDRS) for conv in self.narrow]).mean(dim=0))
        return torch.stack([conv(inner_BHRS) for conv in self.widen]).mean(dim=0).permute(0, 2, 3, 1)


class Modalities(nn.Module):
    """Adds to each modality's segments its row of the map of all modalities."""

    def __init__(self, modalities: int, config: Config) -> None:
        super().__init__()
        self.block = Inception(config.width, config.hidden)
        self.join = nn.Linear(modalities * config.width, config.width)

    def forward(self, rows: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows and the joined one, [B, T, D] each, and nothing to explain."""
        map_BRTD = torch.stack(list(rows.values()), dim=1)
        map_BRTD = map_BRTD + self.block(map_BRTD)
        after = dict(zip(rows, map_BRTD.unbind(dim=1), strict=True))
        return after | {JOINED: self.join(torch.cat(list(after.values()), dim=2))}, {}


class Periods(nn.Module):
    """Adds to each sequence, the joined one too, its maps of fixed periods, weighted by its own mean."""

    def __init__(self, modalities: list[str], config: Config) -> None:
        super().__init__()
        names = [*modalities, JOINED]
        self.block = nn.ModuleDict({name: Inception(config.width, config.hidden) for name in names})
        self.weigh = nn.ModuleDict({name: nn.Linear(config.width, len(PERIODS)) for name in names})
        self.join = nn.Linear(len(modalities) * config.width, config.width)

    def forward(self, rows: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the sequences, [B, T, D] each, and the weights of each one's periods, [B, P]."""
        after, explain = {}, {}
        for name, x_BTD in {**rows, JOINED: self.join(torch.cat(list(rows.values()), dim=2))}.items():
            weight_BP = self.weigh[name](x_BTD.mean(dim=1)).softmax(dim=1)
            maps = [self.block[name](x_BTD.unflatten(1, (-1, period))).flatten(1, 2) for period in PERIODS]
            after[name] = x_BTD + torch.einsum("bp,pbtd->btd", weight_BP, torch.stack(maps))
            explain[f"periods_{name}"] = weight_BP
        return after, explain


class AimditStyle(Fusion):
    """Stem -> segments -> maps -> attention between modalities, a layer on the joined sequence -> classifier."""

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
        check_heads(config.width, config.heads, "aimdit_style")
        width, heads, dropout = config.width, config.heads, config.dropout
        self.segments = config.segments
        if config.fold == "modality":
            self.maps: nn.Module = Modalities(len(encoders), config)
        else:
            self.maps = Periods(list(encoders), config)
        self.cross = nn.ModuleDict(
            {
                f"{query}_{key}": nn.MultiheadAttention(width, heads, dropout, batch_first=True)
                for query, key in itertools.permutations(encoders, 2)
            }
        )
        self.within = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, F.gelu, batch_first=True)
        self.head = classifier(width * (len(encoders) + 1), classes, config)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; with `fold: period` the weights of the periods explain them."""
        encoded, steps = self.stemmed(inputs)
        rows, explain = self.maps({name: segments(each, self.segments).values_BTD for name, each in steps.items()})
        means = []
        for query in self.inputs:
            x_BTD = rows[query]
            for key in self.inputs:
                if key != query:
                    attention = self.cross[f"{query}_{key}"]
                    x_BTD = x_BTD + attention(rows[query], rows[key], rows[key], need_weights=False)[0]
            means.append(x_BTD.mean(dim=1))
        means.append(self.within(rows[JOINED]).mean(dim=1))
        return Outputs(logits_BC=self.head(torch.cat(means, dim=1)), encoded=encoded, explain=explain)
