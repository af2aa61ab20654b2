"""The layers of M2FNet (Chudasama et al., CVPR Workshops 2022, arXiv 2206.02187), for its two methods.

Each modality passes N transformer encoders, each with a skip around it; then m layers of fusion attention change the
anchor F (text, audio where there is none): of each other modality X, H_X = attention with F as query and value and X as
key, F <- ReLU(W [H_X; ...]); X stays as it is. The result is [F; all X]. Keys index values, so all modalities have the
same steps: the turns of a dialogue, or segments of an utterance.

Exact: query, key and value, the unchanged X, the last concatenation, two layers in the head. Unpublished and our
choice: ReLU, a feed-forward layer of twice the width, no positions. `query_again` is of another implementation.
Shape letters: S dialogues (or utterances), T turns (or segments), D width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foalnet.config.variants import Modality
from foalnet.nets.heads import check_heads
from foalnet.nets.tensors import Outputs

FEED_FORWARD = 2


class Encoders(nn.Module):
    """Transformer encoders, each with a skip around it: x <- x + encoder(x)."""

    def __init__(self, width: int, *, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, FEED_FORWARD * width, dropout, batch_first=True)
            for _ in range(layers)
        )

    def forward(self, x_STD: Tensor, there_ST: Tensor) -> Tensor:
        """Return [S, T, D]."""
        for layer in self.layers:
            x_STD = x_STD + layer(x_STD, src_key_padding_mask=~there_ST)
        return x_STD


class FusionAttention(nn.Module):
    """One layer: the anchor is query and value, each other modality the key."""

    def __init__(self, width: int, *, others: int, heads: int, dropout: float, query_again: bool) -> None:
        super().__init__()
        self.query_again = query_again
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(width, heads, dropout, batch_first=True) for _ in range(others)
        )
        self.join = nn.Sequential(nn.Linear((others + query_again) * width, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, anchor_STD: Tensor, others: list[Tensor], there_ST: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the new anchor, and the weights [S, T, T] of each other modality, mean over the heads."""
        heads = [
            attention(anchor_STD, key_STD, anchor_STD, key_padding_mask=~there_ST)
            for attention, key_STD in zip(self.attentions, others, strict=True)
        ]
        parts = [attended_STD for attended_STD, _ in heads] + [anchor_STD] * self.query_again
        return self.join(torch.cat(parts, dim=2)), [weights_STT for _, weights_STT in heads]


class AnchorFusion(nn.Module):
    """The encoders of each modality, then the layers of fusion attention; `method` names the params in an error."""

    def __init__(
        self,
        modalities: Collection[Modality],
        width: int,
        *,
        method: str,
        encoders: int,
        layers: int,
        heads: int,
        dropout: float,
        query_again: bool,
    ) -> None:
        super().__init__()
        check_heads(width, heads, method)
        self.anchor: Modality = "text" if "text" in modalities else "audio"
        self.others = [modality for modality in modalities if modality != self.anchor]
        self.encoders = nn.ModuleDict(
            {m: Encoders(width, layers=encoders, heads=heads, dropout=dropout) for m in modalities}
        )
        self.layers = nn.ModuleList(
            FusionAttention(width, others=len(self.others), heads=heads, dropout=dropout, query_again=query_again)
            for _ in range(layers)
        )

    def forward(self, streams: Mapping[Modality, Tensor], there_ST: Tensor) -> tuple[Tensor, dict[Modality, Tensor]]:
        """Return [F; all X], [S, T, D times modalities], and the last layer's weights [S, T, T] by modality."""
        encoded = {m: self.encoders[m](x_STD, there_ST) for m, x_STD in streams.items()}
        anchor_STD, others = encoded[self.anchor], [encoded[m] for m in self.others]
        weights: list[Tensor] = []
        for layer in self.layers:
            anchor_STD, weights = layer(anchor_STD, others, there_ST)
        return torch.cat([anchor_STD, *others], dim=2), dict(zip(self.others, weights, strict=True))


@dataclass(frozen=True, kw_only=True)
class ExtractorOutputs(Outputs):
    """The logits, and one vector of each utterance by modality, [B, D], for the losses of the extractors.

    Sound and picture alone, as in the paper.
    """

    vectors: Mapping[Modality, Tensor]
