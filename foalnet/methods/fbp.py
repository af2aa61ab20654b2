"""Attention in each modality, then factorised bilinear pooling (Zhou et al., ICMI 2019, EmotiW, arXiv 2012.13912).

Exact: the three attentions within a modality as its summaries give them, and the pooling of Zhang et al. (IJCNN 2019,
arXiv 1901.04889), z = SumPool_k(U^T a * V^T v), dropout on the product, signed square root, L2 norm. Our
interpretation, as the full texts were not readable: `transformer` divides squared norms by their sum; `fbp: adaptive`
(AG-FBP, Zhou et al., TASLP 2021, arXiv 2111.08910) takes its two weights from a softmax over one linear layer on both
vectors, and its factors have biases, since without them the L2 norm would remove the weights; `chunks` (AM-FBP, same
paper) fuses parts of an utterance by the same layers and averages them.
Shape letters: B utterances, T steps, D width, P pooled width, O fused width, C classes.
"""

from __future__ import annotations

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
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.segments import segments
from foalnet.nets.tensors import Inputs, Outputs, Steps

Attention = Literal["self", "relation", "transformer"]
ATTENTION_SOURCE = "EmotiW-2019, intra-modal attention"
FBP_SOURCE = "Zhang et al. 2019, factorised bilinear pooling"
ADAPTIVE_SOURCE = "Zhou et al. 2021, AG-FBP and AM-FBP"
# Steps of a chunk; parts of an utterance in which `explain` states the attention.
CHUNK_STEPS, PARTS = 8, 8
# Below it the signed square root is linear, so that its gradient is finite.
EPSILON = 1e-8


class Config(FusionConfig):
    """The params of factorised bilinear pooling."""

    attention: Attention = param("transformer", "how the steps of a modality are weighted", source=ATTENTION_SOURCE)
    reduced: Width = param(64, "width that `attention: transformer` compares steps in", source=ATTENTION_SOURCE)
    factors: Annotated[int, Field(ge=1, le=64)] = param(4, "products that are summed for one output", source=FBP_SOURCE)
    pooled: Width = param(128, "outputs of the pooling", source=FBP_SOURCE)
    dropout: Dropout = param(0.3, "on the product", unit="probability", source=FBP_SOURCE)
    fbp: Literal["plain", "adaptive"] = param(
        "plain", "the pooling alone, or with a weight of each modality (AG-FBP)", source=ADAPTIVE_SOURCE
    )
    chunks: Annotated[int, Field(ge=0, le=64)] = param(
        0, "parts of an utterance that are fused in addition to the whole (AM-FBP); 0: none", source=ADAPTIVE_SOURCE
    )


class AttentionPool(nn.Module):
    """The weighted mean of a modality's steps.

    self: a_i = sigmoid(q0 f_i), g = sum a_i f_i / sum a_i. relation: b_i = sigmoid(q1 [f_i; g]) and the mean of
    [f_i; g] by a_i b_i. transformer: a_i = |W f_i|^2, the mean of f_i by a_i.
    """

    def __init__(self, width: int, attention: Attention, reduced: int) -> None:
        super().__init__()
        self.attention = attention
        self.width = 2 * width if attention == "relation" else width
        self.first = nn.Linear(width, reduced if attention == "transformer" else 1, bias=False)
        if attention == "relation":
            self.second = nn.Linear(2 * width, 1, bias=False)

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Return the pooled vector [B, P] and the weights of the steps, [B, T], with the sum 1."""
        values_BTD, mask_BT = steps.values_BTD, steps.mask_BT
        scores_BTR = self.first(values_BTD)
        if self.attention == "transformer":
            return weighted_mean(values_BTD, scores_BTR.square().sum(dim=2), mask_BT)
        first_BT = scores_BTR.squeeze(2).sigmoid()
        mean_BD, weight_BT = weighted_mean(values_BTD, first_BT, mask_BT)
        if self.attention == "self":
            return mean_BD, weight_BT
        both_BTP = torch.cat([values_BTD, mean_BD[:, None].expand_as(values_BTD)], dim=2)
        return weighted_mean(both_BTP, first_BT * self.second(both_BTP).squeeze(2).sigmoid(), mask_BT)


def weighted_mean(values_BTD: Tensor, weight_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the valid steps by weights >= 0, and these weights divided by their sum.

    >>> values_BTD, mask_BT = torch.tensor([[[0.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> weighted_mean(values_BTD, torch.tensor([[1.0, 3.0, 7.0]]), mask_BT)
    (tensor([[3.]]), tensor([[0.2500, 0.7500, 0.0000]]))
    """
    weight_BT = torch.where(mask_BT, weight_BT, 0.0)
    weight_BT = weight_BT / weight_BT.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weight_BT.dtype).tiny)
    return (weight_BT[..., None] * zero_masked(values_BTD, mask_BT)).sum(dim=1), weight_BT


class BilinearPool(nn.Module):
    """Factorised bilinear pooling of two vectors, `adaptive` with a weight of each."""

    def __init__(self, width: int, *, factors: int, pooled: int, dropout: float, adaptive: bool) -> None:
        super().__init__()
        self.factors = factors
        self.first, self.second = (nn.Linear(width, factors * pooled, bias=adaptive) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.balance = nn.Linear(2 * width, 2) if adaptive else None

    def forward(self, x_BP: Tensor, y_BP: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the fused vector [B, O] at unit length and the two weights [B, 2], None without them."""
        weight_B2 = None
        if self.balance is not None:
            weight_B2 = self.balance(torch.cat([x_BP, y_BP], dim=1)).softmax(dim=1)
            x_BP, y_BP = x_BP * weight_B2[:, :1], y_BP * weight_B2[:, 1:]
        product_BX = self.dropout(self.first(x_BP) * self.second(y_BP))
        z_BO = product_BX.unflatten(1, (-1, self.factors)).sum(dim=2)
        return F.normalize(z_BO * (z_BO.abs() + EPSILON).rsqrt(), dim=1), weight_B2


class Fbp(Fusion):
    """Stem -> attention pooling of each modality -> factorised bilinear pooling -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    most: ClassVar[int] = 2

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        self.chunks = config.chunks
        self.explained = {"weights": self.inputs}
        self.pools = nn.ModuleDict(
            {modality: AttentionPool(config.width, config.attention, config.reduced) for modality in encoders}
        )
        self.bilinear = BilinearPool(
            2 * config.width if config.attention == "relation" else config.width,
            factors=config.factors,
            pooled=config.pooled,
            dropout=chance(config.dropout),
            adaptive=config.fbp == "adaptive",
        )
        self.head = classifier(config.pooled * (2 if config.chunks else 1), classes, config)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; `explain` has the attention in eight equal parts of the utterance, 1 where it is a mean's.

        With `fbp: adaptive` it has the weights of the two modalities, too, in the order of the variant's inputs.
        """
        encoded, stemmed = self.stemmed(inputs)
        fused_BO, weight_B2, attention = self._fuse(stemmed)
        explain = {
            f"attention_{modality}": in_parts(attention[modality], steps.mask_BT) for modality, steps in stemmed.items()
        }
        if weight_B2 is not None:
            explain["weights"] = weight_B2
        if self.chunks:
            parts_XO, _, _ = self._fuse({modality: self._cut(steps) for modality, steps in stemmed.items()})
            fused_BO = torch.cat([fused_BO, parts_XO.unflatten(0, (-1, self.chunks)).mean(dim=1)], dim=1)
        return Outputs(logits_BC=self.head(fused_BO), encoded=encoded, explain=explain)

    def _fuse(self, stemmed: Mapping[Modality, Steps]) -> tuple[Tensor, Tensor | None, dict[Modality, Tensor]]:
        """Return the fused vector, the weights of the modalities, and each one's attention over its steps."""
        pooled = {modality: self.pools[modality](steps) for modality, steps in stemmed.items()}
        (x_BP, _), (y_BP, _) = pooled.values()
        fused_BO, weight_B2 = self.bilinear(x_BP, y_BP)
        return fused_BO, weight_B2, {modality: weight_BT for modality, (_, weight_BT) in pooled.items()}

    def _cut(self, steps: Steps) -> Steps:
        """Return the chunks of all utterances as a batch of their own, chunk by chunk."""
        parts = segments(steps, self.chunks * CHUNK_STEPS)
        return Steps(
            values_BTD=parts.values_BTD.reshape(-1, CHUNK_STEPS, parts.values_BTD.shape[2]),
            mask_BT=parts.mask_BT.reshape(-1, CHUNK_STEPS),
        )


def in_parts(weight_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return weights with sum 1 as their mean in each part of the utterance times the number of its steps."""
    relative_BT1 = (weight_BT * mask_BT.sum(dim=1, keepdim=True))[..., None]
    return segments(Steps(values_BTD=relative_BT1, mask_BT=mask_BT), PARTS).values_BTD.squeeze(2)
