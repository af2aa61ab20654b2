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
from foalnet.nets.tensors import UNSCORED, Outputs

CROSS_ENTROPY = "cross_entropy"


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

    def __call__(self, net: Method, outputs: Outputs, label_B: Tensor) -> Loss:
        """Return the loss of one batch."""
        cross_entropy = self._cross_entropy(outputs.logits_BC, label_B)
        own = net.own_losses(outputs, label_B)
        total = cross_entropy
        for name, loss in own.losses.items():
            total = total + net.weights[name] * loss
        return Loss(total=total, parts={CROSS_ENTROPY: cross_entropy, **own.losses}, counts=own.counts)

    def _cross_entropy(self, logits_BC: Tensor, label_B: Tensor) -> Tensor:
        loss = F.cross_entropy(logits_BC, label_B, weight=self.class_weight_C, ignore_index=UNSCORED)
        scored_B = label_B[label_B != UNSCORED]
        weight = len(scored_B) if self.class_weight_C is None else self.class_weight_C[scored_B].sum()
        return share(loss, weight)
