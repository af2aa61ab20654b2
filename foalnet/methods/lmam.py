"""LMAM, low-rank matching attention over the turns of a dialogue (Shou et al., IEEE TAFFC 2025, arXiv 2306.17799).

Every modality of a turn is in turn the query q; one matching layer serves all of them. The memory m is the anchor's
stream: text, audio where the variant has no text. e_j = scale tanh((W q + b) m_j) over the turns of the dialogue,
softmax, o = sum of alpha_j m_j; fused = GELU(sum of o over the modalities) + the anchor. The host is a BiLSTM.

Exact, as the released code: the equations above with a W of full rank from N(0, 0.01), masks, `placement: late` with
`hosts: anchor`, the host's head. The paper speaks of low rank, the released code has none: `rank` is ours, W = B A. Our
interpretation: the stem; the three placements after the paper's figure (`early_residual` adds a linear layer over all
modalities); the anchor without text.
Shape letters: B utterances, S dialogues, T turns, D width, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Fusion, classifier, param
from foalnet.nets.bilstm import BiLstm
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.masks import masked_mean
from foalnet.nets.tensors import Inputs, Outputs, Steps
from foalnet.nets.turn_weights import SHARES, turn_shares

SOURCE = "Shou et al. 2025, LMAM"
# Deviation of W's entries at the start.
DEVIATION = 0.01


class Config(base.FusionConfig):
    """The params of LMAM."""

    rank: Width | None = param(None, "rank of W; null: full, as in the released code", source=SOURCE)
    score_scale: Literal["released", "learned"] = param(
        "released", "factor of the tanh scores: 1 as released, or learned from 1 on", source=SOURCE
    )
    placement: Literal["early", "early_residual", "late"] = param(
        "early", "LMAM before the host, that plus a layer over all modalities, or after the host", source=SOURCE
    )
    hosts: Literal["each", "anchor"] = param(
        "each", "placement late: a BiLSTM for each modality, or for the anchor alone (released code)", source=SOURCE
    )
    layers: Annotated[int, Field(ge=1, le=8)] = param(1, "layers of the BiLSTM (released code: 4)", source=SOURCE)
    dropout: Dropout = param(
        0.5, "between the layers of the BiLSTM and on what it reads (paper: 0.5)", unit="probability", source=SOURCE
    )
    head: Literal["own", "shared"] = param(
        "own", "own: a layer with GELU before the classifier; shared: the classifier alone", source=SOURCE
    )


class Matching(nn.Module):
    """Matching attention: one layer for all queries, tanh scores, the anchor as memory."""

    def __init__(self, width: int, *, rank: int | None, learned: bool) -> None:
        super().__init__()
        self.transform: nn.Module
        if rank is None:
            self.transform = nn.Linear(width, width)
            nn.init.normal_(self.transform.weight, std=DEVIATION)
        else:
            factors = nn.Linear(width, rank, bias=False), nn.Linear(rank, width)
            for factor in factors:
                # So that the product has the deviation of the full W.
                nn.init.normal_(factor.weight, std=math.sqrt(DEVIATION / math.sqrt(rank)))
            self.transform = nn.Sequential(*factors)
        self.scale = nn.Parameter(torch.ones(())) if learned else 1.0

    def forward(self, queries: list[Tensor], anchor_STD: Tensor, there_ST: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fused turns [S, T, D], and the weights [S, T, T] (query, memory), mean over the queries."""
        weights = [self._weights(query_STD, anchor_STD, there_ST) for query_STD in queries]
        summed_STT = torch.stack(weights).sum(dim=0)
        return F.gelu(summed_STT @ anchor_STD) + anchor_STD, summed_STT / len(queries)

    def _weights(self, query_STD: Tensor, anchor_STD: Tensor, there_ST: Tensor) -> Tensor:
        scores_STT = self.scale * (self.transform(query_STD) @ anchor_STD.transpose(1, 2)).tanh()
        return scores_STT.masked_fill(~there_ST[:, None], torch.finfo(scores_STT.dtype).min).softmax(dim=2)


class Lmam(Fusion):
    """Masked means of the stem's steps -> LMAM and BiLSTM over the turns, ordered by `placement` -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    over_turns: ClassVar[bool] = True
    fewest: ClassVar[int] = 1
    explained: Mapping[str, Sequence[str]] = {"turns": SHARES}

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        width = config.width
        self.anchor: Modality = "text" if "text" in encoders else "audio"
        self.matching = Matching(width, rank=config.rank, learned=config.score_scale == "learned")
        hosted = ["fused"]
        if config.placement == "late":
            hosted = [self.anchor] if config.hosts == "anchor" else list(encoders)
        dropout = chance(config.dropout)
        self.hosts = nn.ModuleDict(
            {
                name: BiLstm(width, width, param="methods.lmam.width", layers=config.layers, dropout=dropout)
                for name in hosted
            }
        )
        self.dropout = nn.Dropout(dropout)
        self.join = nn.Linear(len(encoders) * width, width) if config.placement == "early_residual" else None
        self.head = classifier(width, classes, config)
        if config.head == "own":
            self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), *self.head)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC of all turns; explain: `turns`, the attention on itself, earlier and later turns."""
        assert inputs.turns is not None, "the batches of a method over turns hold dialogues"
        encoded, steps = self.stemmed(inputs)
        turns, there_ST = inputs.turns, inputs.turns.there_ST
        streams = {
            modality: self._host(modality, turns.by_dialogue(masked_mean(each.values_BTD, each.mask_BT)), there_ST)
            for modality, each in steps.items()
        }
        fused_STD, weights_STT = self.matching(list(streams.values()), streams[self.anchor], there_ST)
        if self.join is not None:
            fused_STD = fused_STD + self.join(torch.cat(list(streams.values()), dim=2))
        fused_STD = self._host("fused", fused_STD, there_ST)
        return Outputs(
            logits_BC=self.head(turns.by_row(fused_STD)),
            encoded=encoded,
            explain={"turns": turns.by_row(turn_shares(weights_STT))},
        )

    def _host(self, name: str, values_STD: Tensor, there_ST: Tensor) -> Tensor:
        """Return what the host of that name reads of the turns; the turns themselves without such a host."""
        if name not in self.hosts:
            return values_STD
        read: Steps = self.hosts[name](Steps(values_BTD=self.dropout(values_STD), mask_BT=there_ST))
        return read.values_BTD
