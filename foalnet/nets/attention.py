"""Cross-attention as the paper stacks it: no feed-forward sublayer, the same keys and values in every layer.

Source: docs/method.md, fusion (Li et al., Interspeech 2024). Shape letters: B utterances, T query steps, S key steps, D
query width, E key width, H heads.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from foalnet.core.errors import UsageError
from foalnet.nets.masks import masked_mean, zero_masked
from foalnet.nets.tensors import Steps

Masking = Literal["exact", "minus_10000"]
# The score that the released code gives a padded key.
RELEASED_FILL = -10000.0


class CrossAttention(nn.Module):
    """LayerNorm(query + dropout(output(attention))): linear q, k, v and output with bias, padded keys masked.

    If an utterance has no key at all, attention adds nothing and the result is LayerNorm(query). With masking
    `minus_10000`, the released code's, it then attends to all padding equally and adds the output's bias.
    """

    def __init__(
        self, query_width: int, key_width: int, *, heads: int, dropout: float, masking: Masking = "exact"
    ) -> None:
        super().__init__()
        if query_width % heads:
            raise UsageError(
                f"a width of {query_width} cannot be cut into {heads} attention heads",
                action="make train.audio.width and train.video.width multiples of methods.foal.heads",
            )
        self.heads, self.exact = heads, masking == "exact"
        self.query = nn.Linear(query_width, query_width)
        self.key = nn.Linear(key_width, query_width)
        self.value = nn.Linear(key_width, query_width)
        self.out = nn.Linear(query_width, query_width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(query_width)

    def forward(self, query_BTD: Tensor, keys_BSE: Tensor, key_mask_BS: Tensor) -> Tensor:
        """Return [B, T, D]; masked query steps hold finite values that pooling must ignore."""
        q_BHTd, k_BHSd, v_BHSd = (
            self._split(x) for x in (self.query(query_BTD), self.key(keys_BSE), self.value(keys_BSE))
        )
        scores_BHTS = q_BHTd @ k_BHSd.transpose(-1, -2) / math.sqrt(q_BHTd.shape[-1])
        valid_B11S = key_mask_BS[:, None, None, :]
        lowest = torch.finfo(scores_BHTS.dtype).min if self.exact else RELEASED_FILL
        weights_BHTS = scores_BHTS.masked_fill(~valid_B11S, lowest).softmax(dim=-1)
        if self.exact:
            weights_BHTS = weights_BHTS * valid_B11S
        context_BTD = (weights_BHTS @ v_BHSd).transpose(1, 2).flatten(2)
        added_BTD = self.dropout(self.out(context_BTD))
        if self.exact:
            # Otherwise the output's bias would be added for a missing picture.
            added_BTD = added_BTD * key_mask_BS.any(dim=1)[:, None, None]
        mixed: Tensor = self.norm(query_BTD + added_BTD)
        return mixed

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class AttentionStack(nn.Module):
    """Layers of cross-attention onto one encoder's output, then the masked mean over the query's steps."""

    def __init__(
        self,
        query_width: int,
        key_width: int,
        *,
        layers: int,
        heads: int,
        dropout: float,
        masking: Masking = "exact",
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossAttention(query_width, key_width, heads=heads, dropout=dropout, masking=masking) for _ in range(layers)
        )

    def forward(self, query: Steps, keys: Steps) -> Tensor:
        """Return the pooled query [B, D]; zeros for a query without a valid step."""
        x_BTD = query.values_BTD
        keys_BSE = zero_masked(keys.values_BTD, keys.mask_BT)
        for layer in self.layers:
            x_BTD = layer(x_BTD, keys_BSE, keys.mask_BT)
        return masked_mean(x_BTD, query.mask_BT)
