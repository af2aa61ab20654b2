"""WavLM's attention with its gated relative position bias, fused; the library computes the same in separate steps.

The library repeats the position bias for every utterance, and averages attention weights that no one uses. This module
passes the gated bias as the additive mask of torch's scaled dot product attention.
Shape letters: B utterances, T steps, D width, H heads, d width of a head.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

# The largest difference of the fused layer from the library's in the check at the start (float32).
TOLERANCE = 1e-4
CHECK_STEPS = 7


def fuse(model: Any) -> bool:
    """Switch every layer of a WavLM to fused attention, in place; return whether that was possible.

    The function first compares one fused layer with the library's. If the library's version differs in form or result,
    it logs a warning and keeps the library's attention.
    """
    layers = list(model.encoder.layers)
    try:
        difference = _difference(layers[0].attention)
    except Exception as error:  # another version of the library may differ in any way
        logger.warning(
            "WavLM's attention stays the library's: it cannot be fused (%s: %s)", type(error).__name__, error
        )
        return False
    if not difference <= TOLERANCE:
        logger.warning("WavLM's attention stays the library's: fused it differs by %.1e", difference)
        return False
    for layer in layers:
        layer.attention.__class__ = fused_class(type(layer.attention))
    return True


def fused_class(library: type[nn.Module]) -> type[nn.Module]:
    """Return the library's attention with the fused forward: same parameters, same names."""
    return type(f"Fused{library.__name__}", (library,), {"forward": _forward})


def _forward(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None, Tensor]:
    """Return (attention's output [B, T, D], no weights, position bias [1, H, T, T]), as the library's layers expect."""
    batch, steps, _width = hidden_states.shape
    if position_bias is None:
        position_bias = self.compute_bias(steps, steps).unsqueeze(0)
    heads_BHTd = hidden_states.view(batch, steps, self.num_heads, -1).transpose(1, 2)
    gates_BHT2 = self.gru_rel_pos_linear(heads_BHTd).unflatten(-1, (2, 4)).sum(-1).sigmoid()
    gate_a, gate_b = gates_BHT2.unsqueeze(-1).unbind(-2)
    gate_BHT1 = gate_a * (gate_b * self.gru_rel_pos_const - 1.0) + 2.0
    bias_BHTT = gate_BHT1 * position_bias
    if attention_mask is not None:
        lowest = torch.finfo(bias_BHTT.dtype).min
        bias_BHTT = bias_BHTT.masked_fill(~attention_mask.bool()[:, None, None, :], lowest)
    q_BHTd, k_BHTd, v_BHTd = (
        project(hidden_states).view(batch, steps, self.num_heads, -1).transpose(1, 2)
        for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    context_BHTd = F.scaled_dot_product_attention(
        q_BHTd,
        k_BHTd,
        v_BHTd,
        attn_mask=bias_BHTT.to(q_BHTd.dtype),
        dropout_p=self.dropout if self.training else 0.0,
    )
    return self.out_proj(context_BHTd.transpose(1, 2).flatten(2)), None, position_bias


@torch.no_grad()
def _difference(attention: Any) -> float:
    """Return the largest difference of the fused layer from the library's on two short sequences, one padded."""
    device = next(attention.parameters()).device
    generator = torch.Generator().manual_seed(0)
    x_BTD = torch.randn(2, CHECK_STEPS, attention.embed_dim, generator=generator).to(device)
    mask_BT = torch.ones(2, CHECK_STEPS, dtype=torch.bool, device=device)
    mask_BT[1, CHECK_STEPS // 2 :] = False
    before = attention.training
    attention.eval()
    try:
        expected = attention(x_BTD, attention_mask=mask_BT)[0]
        actual = _forward(attention, x_BTD, attention_mask=mask_BT)[0]
    finally:
        attention.train(before)
    return float((expected - actual).abs().max())
