"""MEM, the matching of emotions across modalities: hard negatives, and the loss over own and drawn pairs.

Source: METHOD, task 2. Shape letters: B rows, K rows of this process, G rows of all processes, M pairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets.tensors import MatchLogits

MATCHED, NOT_MATCHED = 1, 0
# What the released code puts in place of a score that is to be left out.
RELEASED_FILL = -10000.0


def hard_negatives(sim_BB: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for each row a column of another label, by softmax of the row over such columns.

    Returns (index_B int64, found_B bool); a row whose batch holds no other label has found False and its own index.
    Draws from torch's global generator. Source: METHOD, task 2, `no_negative: leave_out`.
    """
    other_BB = label_B.unsqueeze(0) != label_B.unsqueeze(1)
    found_B = other_BB.any(dim=1)
    own_B = torch.arange(len(label_B), device=label_B.device)
    if not bool(found_B.any()):
        return own_B, found_B
    weights_BB = drawable(sim_BB).masked_fill(~other_BB, -torch.inf)[found_B].softmax(dim=1)
    index_B = own_B.clone()
    index_B[found_B] = torch.multinomial(weights_BB, 1).squeeze(1)
    return index_B, found_B


def released_negatives(sim_KG: Tensor, label_K: Tensor, label_G: Tensor) -> Tensor:
    """Draw for each row a column as the released code does, row by row: index_K into the G columns.

    Scores of the row's own label are replaced by -10000. Where there is no other label all weights are equal, and a
    positive is drawn as a negative (METHOD, task 2, `no_negative: positives`). Draws from torch's global generator.
    """
    same_KG = label_G.unsqueeze(0) == label_K.unsqueeze(1)
    weights_KG = drawable(sim_KG).masked_fill(same_KG, RELEASED_FILL).softmax(dim=1)
    drawn = [torch.multinomial(row_G, 1) for row_G in weights_KG]
    return torch.cat(drawn) if drawn else label_K.new_zeros(0)


def drawable(sim: Tensor) -> Tensor:
    """Return scores to draw by, without gradient; not a number is 0: the loss has such a step skipped, not the draw."""
    return sim.detach().float().nan_to_num(0.0, 0.0, 0.0)


def mem(logits: MatchLogits, audio_found_B: Tensor, video_found_B: Tensor) -> Tensor:
    """Return the matching loss: cross-entropy over each direction's 2K pairs, mean of the two directions.

    Class 1 = the pair shares its emotion. Rows whose `found` is False are left out with both their pairs, so that
    matched and unmatched pairs stay equally many; 0 where no row is left.
    """
    audio, video = directions(logits, audio_found_B, video_found_B)
    return (audio + video) / 2


def directions(logits: MatchLogits, audio_found_B: Tensor, video_found_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each direction: audio beside videos, video beside audios."""
    return (
        _pairs(logits.audio_matched_B2[audio_found_B], logits.audio_negative_B2[audio_found_B]),
        _pairs(logits.video_matched_B2[video_found_B], logits.video_negative_B2[video_found_B]),
    )


def _pairs(matched_K2: Tensor, negative_K2: Tensor) -> Tensor:
    if not len(matched_K2):
        return matched_K2.sum() + negative_K2.sum()
    logits_M2 = torch.cat([matched_K2, negative_K2])
    target_M = torch.full((len(logits_M2),), NOT_MATCHED, device=logits_M2.device)
    target_M[: len(matched_K2)] = MATCHED
    return F.cross_entropy(logits_M2, target_M)
