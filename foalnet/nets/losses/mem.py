"""MEM, the matching of emotions across modalities: draws hard negatives, computes the loss over own and drawn pairs.

Source: docs/method.md, task 2. Shape letters: B rows, K rows of this process, G rows of all processes, M pairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets.tensors import MatchLogits

MATCHED, NOT_MATCHED = 1, 0
# The score that the released code gives a column to be excluded.
RELEASED_FILL = -10000.0


def hard_negatives(sim_BB: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for each row a column of another label, by softmax of the row over such columns.

    Returns (index_B int64, drawn_B bool); a row without another label in its batch has drawn False and its own index.
    Draws from torch's global generator. Source: docs/method.md, task 2, `no_negative: leave_out`.

    >>> hard_negatives(torch.zeros(2, 2), torch.tensor([0, 1]))
    (tensor([1, 0]), tensor([True, True]))
    """
    other_BB = label_B.unsqueeze(0) != label_B.unsqueeze(1)
    drawn_B = other_BB.any(dim=1)
    own_B = torch.arange(len(label_B), device=label_B.device)
    if not bool(drawn_B.any()):
        return own_B, drawn_B
    weights_BB = drawable(sim_BB).masked_fill(~other_BB, -torch.inf)[drawn_B].softmax(dim=1)
    index_B = own_B.clone()
    index_B[drawn_B] = torch.multinomial(weights_BB, 1).squeeze(1)
    return index_B, drawn_B


def released_negatives(sim_KG: Tensor, label_K: Tensor, label_G: Tensor) -> Tensor:
    """Draw for each row a column as the released code does, row by row: index_K into the G columns.

    Scores of the row's own label are replaced by -10000. If there is no other label all weights are equal, and a
    positive is drawn as a negative (docs/method.md, task 2, `no_negative: positives`). Draws from torch's global
    generator.
    """
    same_KG = label_G.unsqueeze(0) == label_K.unsqueeze(1)
    weights_KG = drawable(sim_KG).masked_fill(same_KG, RELEASED_FILL).softmax(dim=1)
    drawn = [torch.multinomial(row_G, 1) for row_G in weights_KG]
    return torch.cat(drawn) if drawn else label_K.new_zeros(0)


def drawable(sim: Tensor) -> Tensor:
    """Return scores for drawing, without gradient and with NaN as 0: training skips such a step because of its loss."""
    return sim.detach().float().nan_to_num(0.0, 0.0, 0.0)


def mem(logits: MatchLogits, audio_drawn_B: Tensor, video_drawn_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the MEM loss of each direction: audios with drawn videos, videos with drawn audios.

    Each is the cross-entropy over the direction's 2K pairs; class 1 = the pair shares its emotion. Rows with `drawn`
    False are left out with both their pairs, so that matched and unmatched pairs are equally many; 0 if no row is left.
    """
    return (
        _pairs(logits.audio_matched_B2[audio_drawn_B], logits.audio_negative_B2[audio_drawn_B]),
        _pairs(logits.video_matched_B2[video_drawn_B], logits.video_negative_B2[video_drawn_B]),
    )


def _pairs(matched_K2: Tensor, negative_K2: Tensor) -> Tensor:
    if not len(matched_K2):
        return matched_K2.sum() + negative_K2.sum()
    logits_M2 = torch.cat([matched_K2, negative_K2])
    target_M = torch.full((len(logits_M2),), NOT_MATCHED, device=logits_M2.device)
    target_M[: len(matched_K2)] = MATCHED
    return F.cross_entropy(logits_M2, target_M)
