"""The objective: the weighted sum of cross-entropy, AVEL and MEM; it counts the rows that it leaves out.

Source: METHOD, objective. With several processes each returns a share such that the mean of their gradients is the
gradient of the whole batch. Shape letters: B utterances of this process, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from foalnet.config.blocks import Objective as Params
from foalnet.nets.gather import ranks
from foalnet.nets.losses.avel import both_directions
from foalnet.nets.losses.mem import directions
from foalnet.nets.losses.pairs import Pairs, draw, negatives_of, pairs_of
from foalnet.nets.tensors import MatchLogits, Negatives, Outputs
from foalnet.nets.variants import Tasks


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One step's objective and its parts, with counts of the rows left out.

    `pairs_without_negative`: rows without another class in their batch (MEM leaves out both their pairs);
    `pairs_without_video`: rows without a picture, which no task on pairs can use.
    """

    total: Tensor
    cross_entropy: Tensor
    avel: Tensor | None
    mem: Tensor | None
    pairs_without_negative: int = 0
    pairs_without_video: int = 0


class Matcher(Protocol):
    """The part of a network that MEM uses (`FoalNet.match`)."""

    def match(self, outputs: Outputs, negatives: Negatives) -> MatchLogits:
        """Return the logits of own pairs and of pairs with the given negatives."""
        ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """L = L_ce + alpha L_avel + beta L_mem, each a mean, for the tasks of a variant.

    `params`: the weights of the parts and the reading of the method. `class_weight_C` weights the cross-entropy
    (sampler `plain`); None for equal weights.
    """

    tasks: Tasks
    params: Params
    class_weight_C: Tensor | None = None

    def __call__(self, net: Matcher, outputs: Outputs, label_B: Tensor) -> Loss:
        """Return the loss of one batch; rows without a picture take part in the cross-entropy alone."""
        cross_entropy = self._cross_entropy(outputs.logits_BC, label_B)
        if not self.tasks.projects:
            return Loss(total=cross_entropy, cross_entropy=cross_entropy, avel=None, mem=None)
        pairs = pairs_of(outputs, label_B, self.params)
        total, avel_loss, mem_loss, missing = cross_entropy, None, None, 0
        if self.tasks.avel:
            avel_loss = self._avel(pairs, label_B)
            total = total + self.params.alpha * avel_loss
        if self.tasks.mem:
            mem_loss, missing = self._mem(net, outputs, pairs)
            total = total + self.params.beta * mem_loss
        return Loss(
            total=total,
            cross_entropy=cross_entropy,
            avel=avel_loss,
            mem=mem_loss,
            pairs_without_negative=missing,
            pairs_without_video=len(label_B) - len(pairs.row_K),
        )

    def _cross_entropy(self, logits_BC: Tensor, label_B: Tensor) -> Tensor:
        loss = F.cross_entropy(logits_BC, label_B, weight=self.class_weight_C)
        weight = len(label_B) if self.class_weight_C is None else self.class_weight_C[label_B].sum()
        return share(loss, weight)

    def _avel(self, pairs: Pairs, label_B: Tensor) -> Tensor:
        label_K = label_B[pairs.row_K]
        loss = both_directions(pairs.audio_KG, pairs.video_KG, label_K, pairs.label_G, self.params.positives)
        return share(loss, len(label_K))

    def _mem(self, net: Matcher, outputs: Outputs, pairs: Pairs) -> tuple[Tensor, int]:
        """Return MEM's loss and the number of this process' pairs (both directions) without a negative."""
        drawn = draw(pairs, self.params)
        negatives, audio_drawn_B, video_drawn_B = negatives_of(outputs, pairs, drawn, self.params)
        audio, video = directions(net.match(outputs, negatives), audio_drawn_B, video_drawn_B)
        counts = [int(drawn_B.sum()) for drawn_B in (audio_drawn_B, video_drawn_B)]
        return (share(audio, counts[0]) + share(video, counts[1])) / 2, 2 * len(pairs.row_K) - sum(counts)


def share(mean: Tensor, weight: float | Tensor) -> Tensor:
    """Return this process' share of a mean over all processes; the mean of all shares is that mean.

    `mean` is over this process' rows; `weight` is their number, or the sum of their weights.
    """
    if ranks() == 1:
        return mean
    own = torch.as_tensor(weight, dtype=torch.float64, device=mean.device)
    whole = own.clone()
    dist.all_reduce(whole)
    return mean * (own * ranks() / whole.clamp(min=torch.finfo(torch.float64).tiny)).to(mean.dtype)
