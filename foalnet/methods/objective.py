"""The objective: cross-entropy plus a method's own losses, weighted; it counts the rows that they leave out.

Source: docs/method.md, objective. With several processes each returns a share such that the mean of their gradients is
the gradient of the whole batch. Shape letters: B utterances of this process, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from foalnet.methods.base import Method
from foalnet.nets.gather import share
from foalnet.nets.losses.ccc import ccc_loss
from foalnet.nets.tensors import UNSCORED, Outputs

CROSS_ENTROPY = "cross_entropy"
# 1 - CCC, the mean of valence and activation: a loss of any method that predicts them (`Outputs.affect_BE`).
CCC = "ccc"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One step's objective, its parts by name (cross-entropy first, all unweighted), and counts of rows left out."""

    total: Tensor
    parts: Mapping[str, Tensor]
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """L = L_ce + sum of weight * loss over the method's losses, each a mean.

    `class_weight_C` weights the cross-entropy (sampler `plain`); None for equal weights.
    """

    class_weight_C: Tensor | None = None

    def __call__(self, net: Method, outputs: Outputs, label_B: Tensor, affect_BE: Tensor | None = None) -> Loss:
        """Return the loss of one batch; `affect_BE`: for a network that predicts valence and activation."""
        cross_entropy = self._cross_entropy(outputs.logits_BC, label_B)
        own = net.own_losses(outputs, label_B)
        losses = dict(own.losses)
        if outputs.affect_BE is not None and affect_BE is not None:
            losses[CCC] = ccc_loss(outputs.affect_BE, affect_BE).mean()
        total = cross_entropy
        for name, loss in losses.items():
            total = total + net.weights[name] * loss
        return Loss(total=total, parts={CROSS_ENTROPY: cross_entropy, **losses}, counts=own.counts)

    def _cross_entropy(self, logits_BC: Tensor, label_B: Tensor) -> Tensor:
        loss = F.cross_entropy(logits_BC, label_B, weight=self.class_weight_C, ignore_index=UNSCORED)
        scored_B = label_B[label_B != UNSCORED]
        weight = len(scored_B) if self.class_weight_C is None else self.class_weight_C[scored_B].sum()
        return share(loss, weight)
