"""HFGCN in our own form: a graph of modalities inside the utterance, then a graph of the dialogue's turns.

Source: the abstract of Tang et al., "Fusion with hierarchical graphs for multimodal emotion recognition", 2021 (arXiv
2109.07149). Exact: two stages, the first over modalities, the second over the conversation. Our interpretation, for the
equations could not be read: nodes of stage 1 are segments of modalities, with one relational layer (weights of a
relation are shared with no other), then a chain of fused segments; stage 2 is one such layer over the turns, by
speaker and by past and future. With the loss `ccc` a linear layer projects what the classifier reads onto valence and
arousal.
Shape letters: B utterances, M modalities, S segments, N nodes, D width, E width of the utterance's means, G graphs,
K relations, T turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout
from foalnet.config.variants import Modality, Weight
from foalnet.core.labels import AFFECT
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, classifier, param
from foalnet.nets.encoder import Encoder
from foalnet.nets.segments import segments
from foalnet.nets.tensors import Inputs, Outputs, Turns

SOURCE = "ours, after the abstract of HFGCN"


class Config(FusionConfig):
    """The params of the two graphs."""

    stage: Literal["one", "two"] = param(
        "two", "one: each utterance alone; two: the graph of the dialogue's turns too", source=SOURCE
    )
    segments: Annotated[int, Field(ge=2, le=256)] = param(6, "parts of each modality: nodes of stage 1", source=SOURCE)
    window: Annotated[int, Field(ge=1, le=1000)] = param(
        10, "turns before and after a turn that stage 2 connects it to", unit="turns", source=SOURCE
    )
    dropout: Dropout = param(0.1, "after each layer of a graph", unit="probability", source=SOURCE)
    ccc: Weight = param(0.0, "weight of 1 - CCC of valence and activation", source=SOURCE, losses=["ccc"])


class GraphLayer(nn.Module):
    """Sum over relations of a linear layer on the mean of a node's neighbours, ReLU and dropout."""

    def __init__(self, width: int, relations: int, dropout: float) -> None:
        super().__init__()
        self.relations = nn.ModuleList(nn.Linear(width, width, bias=place == 0) for place in range(relations))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes_BND: Tensor, edges_GKNN: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nodes, and each relation's share of the length of what they got, [B, N, K].

        `edges_GKNN`: True from a node (third axis) to each of its neighbours; G is 1 or B. The first relation is that
        of a node with itself.
        """
        edges_GKNN = edges_GKNN.to(nodes_BND.dtype)
        mean_GKNN = edges_GKNN / edges_GKNN.sum(dim=3, keepdim=True).clamp(min=1)
        got = [layer(mean_GKNN[:, place] @ nodes_BND) for place, layer in enumerate(self.relations)]
        got_BNKD = torch.stack(got, dim=2)
        length_BNK = got_BNKD.detach().norm(dim=3)
        share_BNK = length_BNK / length_BNK.sum(dim=2, keepdim=True).clamp(min=torch.finfo(length_BNK.dtype).tiny)
        return self.dropout(got_BNKD.sum(dim=2).relu()), share_BNK


class HfgStyle(Fusion):
    """Stem -> segments -> graph of modalities -> chain of fused segments -> graph of turns -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    over_turns: ClassVar[bool] = True
    losses: ClassVar[Mapping[str, str]] = {"ccc": "ccc"}
    explained: Mapping[str, Sequence[str]] = {
        "relations": ("itself", "other modalities", "next segments"),
        "turn_relations": ("itself", "own past", "others' past", "own future", "others' future"),
    }

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        self.config = config
        width, means = config.width, config.width * (len(encoders) + 1)
        self.modalities = GraphLayer(width, 3, config.dropout)
        self.chain = GraphLayer(width, 2, config.dropout)
        if config.stage == "two":
            self.turn = nn.Linear(means, width)
            self.dialogue = GraphLayer(width, 5, config.dropout)
        joined = means + width * (config.stage == "two")
        self.head = classifier(joined, classes, config)
        self.projection = nn.Linear(joined, len(AFFECT)) if "ccc" in weights else None

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC of all turns; each relation's mean share explains them, of both stages."""
        encoded, steps = self.stemmed(inputs)
        means_BE, share_BK = self.utterance(
            torch.stack([segments(each, self.config.segments).values_BTD for each in steps.values()], dim=1)
        )
        explain = {"relations": share_BK}
        if self.config.stage == "two":
            assert inputs.turns is not None, "the batches of a method over turns hold dialogues"
            turns_STD = inputs.turns.by_dialogue(self.turn(means_BE))
            turns_STD, share_STK = self.dialogue(turns_STD, turn_edges(inputs.turns, self.config.window))
            means_BE = torch.cat([means_BE, inputs.turns.by_row(turns_STD)], dim=1)
            explain["turn_relations"] = inputs.turns.by_row(share_STK)
        affect_BE = None if self.projection is None else self.projection(means_BE)
        return Outputs(logits_BC=self.head(means_BE), encoded=encoded, explain=explain, affect_BE=affect_BE)

    def utterance(self, segments_BMSD: Tensor) -> tuple[Tensor, Tensor]:
        """Return stage 1: the means of each modality and of the fused segments side by side, and the relations' shares.

        The relations: itself, other modalities in the same segment, the same modality in the next segments.
        """
        modalities, count = segments_BMSD.shape[1:3]
        nodes_BND, share_BNK = self.modalities(
            segments_BMSD.flatten(1, 2), modality_edges(modalities, count).to(segments_BMSD.device)
        )
        nodes_BMSD = nodes_BND.unflatten(1, (modalities, count))
        fused_BSD, _ = self.chain(nodes_BMSD.mean(dim=1), chain_edges(count).to(segments_BMSD.device))
        means_BD = [*nodes_BMSD.mean(dim=2).unbind(dim=1), fused_BSD.mean(dim=1)]
        return torch.cat(means_BD, dim=1), share_BNK.mean(dim=1)


def modality_edges(modalities: int, count: int) -> Tensor:
    """Return the edges of stage 1 among nodes ordered by modality, then segment: [1, 3, N, N].

    >>> itself, cross, time = modality_edges(2, 2)[0].long().tolist()
    >>> cross[0], time[0]
    ([0, 0, 1, 0], [0, 1, 0, 0])
    """
    node_N = torch.arange(modalities * count)
    of_N, at_N = node_N // count, node_N % count
    same_NN = of_N[:, None] == of_N
    away_NN = (at_N[:, None] - at_N).abs()
    return torch.stack([same_NN & (away_NN == 0), ~same_NN & (away_NN == 0), same_NN & (away_NN == 1)])[None]


def chain_edges(count: int) -> Tensor:
    """Return the edges of a chain, [1, 2, N, N]: itself, and the next on both sides.

    >>> chain_edges(3)[0, 1].long().tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    away_NN = (torch.arange(count)[:, None] - torch.arange(count)).abs()
    return torch.stack([away_NN == 0, away_NN == 1])[None]


def turn_edges(turns: Turns, window: int) -> Tensor:
    """Return the edges among the turns of each dialogue, [G, 5, T, T].

    The relations: itself; the same speaker's past, another's past, the same speaker's future, another's future.
    """
    place_T = torch.arange(turns.there_ST.shape[1], device=turns.there_ST.device)
    later_TT = place_T[None, :] - place_T[:, None]
    there_STT = turns.there_ST[:, :, None] & turns.there_ST[:, None, :]
    same_STT = turns.speaker_ST[:, :, None] == turns.speaker_ST[:, None, :]
    past_STT = there_STT & (later_TT < 0) & (later_TT >= -window)
    future_STT = there_STT & (later_TT > 0) & (later_TT <= window)
    relations = [there_STT & (later_TT == 0)]
    relations += [near_STT & who_STT for near_STT in (past_STT, future_STT) for who_STT in (same_STT, ~same_STT)]
    return torch.stack(relations, dim=1)
