"""The objective: cross-entropy, AVEL (alignment of the modalities) and MEM (matching of their emotions).

Source: METHOD, tasks 1 and 2, corrected reading. Shape letters: B utterances, E projection width, C classes, K rows
that take part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets import MatchLogits, Outputs, Tasks

MATCHED, NOT_MATCHED = 1, 0


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One step's objective and its parts; what was left out is counted, never filled in.

    `pairs_without_negative`: rows whose batch held no other class (both their pairs are left out of MEM);
    `pairs_without_video`: rows without a picture, which no task on pairs can use.
    """

    total: Tensor
    cross_entropy: Tensor
    avel: Tensor | None
    mem: Tensor | None
    pairs_without_negative: int = 0
    pairs_without_video: int = 0


class Matcher(Protocol):
    """What MEM asks of a network (`FoalNet.match`)."""

    def match(self, outputs: Outputs, video_of_audio_B: Tensor, audio_of_video_B: Tensor) -> MatchLogits:
        """Answer for own pairs and for pairs with the negatives named by row."""
        ...


def similarity(audio_BE: Tensor, video_BE: Tensor, scale: Tensor) -> Tensor:
    """Return S = scale * A V^T, [B, B]: row i is audio i against every video. Inputs have unit norm."""
    return scale * (audio_BE @ video_BE.T)


def avel(sim_BB: Tensor, label_B: Tensor) -> Tensor:
    """Return the alignment loss of a similarity matrix: supervised contrastive, mean of both directions.

    Positives of a row are all rows of its label, itself included; a row's loss is minus the mean of their
    log-softmax (METHOD, task 1, `positives: mean`). 0 for an empty batch.
    """
    if not len(label_B):
        return sim_BB.sum()
    same_BB = (label_B.unsqueeze(0) == label_B.unsqueeze(1)).to(sim_BB.dtype)
    weight_BB = same_BB / same_BB.sum(dim=1, keepdim=True)
    return -0.5 * sum(
        ((weight_BB * s_BB.log_softmax(dim=1)).sum(dim=1).mean() for s_BB in (sim_BB, sim_BB.T)), sim_BB.new_zeros(())
    )


def hard_negatives(sim_BB: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for each row a column of another label, by softmax of the row over such columns.

    Returns (index_B int64, found_B bool); a row whose batch holds no other label has found False and its own index.
    Draws from torch's global generator. Source: METHOD, task 2, `no_negative: pair left out and counted`.
    """
    other_BB = label_B.unsqueeze(0) != label_B.unsqueeze(1)
    found_B = other_BB.any(dim=1)
    own_B = torch.arange(len(label_B), device=label_B.device)
    if not bool(found_B.any()):
        return own_B, found_B
    weights_BB = sim_BB.detach().float().masked_fill(~other_BB, -torch.inf)[found_B].softmax(dim=1)
    index_B = own_B.clone()
    index_B[found_B] = torch.multinomial(weights_BB, 1).squeeze(1)
    return index_B, found_B


def mem(logits: MatchLogits, audio_found_B: Tensor, video_found_B: Tensor) -> Tensor:
    """Return the matching loss: cross-entropy over each direction's 2K pairs, mean of the two directions.

    Class 1 = the pair shares its emotion. Rows whose `found` is False are left out with both their pairs, so that
    matched and unmatched pairs stay equally many; 0 where no row is left.
    """
    directions = [
        (logits.audio_matched_B2, logits.audio_negative_B2, audio_found_B),
        (logits.video_matched_B2, logits.video_negative_B2, video_found_B),
    ]
    losses = [_pairs(matched_B2[found_B], negative_B2[found_B]) for matched_B2, negative_B2, found_B in directions]
    return (losses[0] + losses[1]) / 2


def _pairs(matched_K2: Tensor, negative_K2: Tensor) -> Tensor:
    if not len(matched_K2):
        return matched_K2.sum() + negative_K2.sum()
    logits_M2 = torch.cat([matched_K2, negative_K2])
    target_M = torch.full((len(logits_M2),), NOT_MATCHED, device=logits_M2.device)
    target_M[: len(matched_K2)] = MATCHED
    return F.cross_entropy(logits_M2, target_M)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """L = L_ce + alpha L_avel + beta L_mem, each a mean, for the tasks of a variant.

    `class_weight_C` weighs the cross-entropy (sampler `plain`), None for none.
    """

    tasks: Tasks
    alpha: float
    beta: float
    class_weight_C: Tensor | None = None

    def __call__(self, net: Matcher, outputs: Outputs, label_B: Tensor) -> Loss:
        """Return the loss of one batch; rows without a picture take part in the cross-entropy alone."""
        cross_entropy = F.cross_entropy(outputs.logits_BC, label_B, weight=self.class_weight_C)
        if not self.tasks.projects:
            return Loss(total=cross_entropy, cross_entropy=cross_entropy, avel=None, mem=None)
        assert outputs.audio_BE is not None and outputs.video_BE is not None and outputs.scale is not None
        assert outputs.video_present_B is not None
        row_K = outputs.video_present_B.nonzero().squeeze(1)
        sim_KK = similarity(outputs.audio_BE[row_K], outputs.video_BE[row_K], outputs.scale)
        total, avel_loss, mem_loss, missing = cross_entropy, None, None, 0
        if self.tasks.avel:
            avel_loss = avel(sim_KK, label_B[row_K])
            total = total + self.alpha * avel_loss
        if self.tasks.mem:
            mem_loss, missing = self._mem(net, outputs, sim_KK, label_B, row_K)
            total = total + self.beta * mem_loss
        return Loss(
            total=total,
            cross_entropy=cross_entropy,
            avel=avel_loss,
            mem=mem_loss,
            pairs_without_negative=missing,
            pairs_without_video=len(label_B) - len(row_K),
        )

    @staticmethod
    def _mem(net: Matcher, outputs: Outputs, sim_KK: Tensor, label_B: Tensor, row_K: Tensor) -> tuple[Tensor, int]:
        """Return MEM's loss and how many pairs (both directions) had no negative."""
        drawn = []
        # First a video for each audio, then an audio for each video: the order of METHOD's draws.
        for s_KK in (sim_KK, sim_KK.T):
            index_K, found_K = hard_negatives(s_KK, label_B[row_K])
            index_B = torch.arange(len(label_B), device=label_B.device)
            found_B = torch.zeros(len(label_B), dtype=torch.bool, device=label_B.device)
            index_B[row_K], found_B[row_K] = row_K[index_K], found_K
            drawn.append((index_B, found_B))
        (video_B, audio_found_B), (audio_B, video_found_B) = drawn
        loss = mem(net.match(outputs, video_B, audio_B), audio_found_B, video_found_B)
        found = int(audio_found_B.sum()) + int(video_found_B.sum())
        return loss, 2 * len(row_K) - found
