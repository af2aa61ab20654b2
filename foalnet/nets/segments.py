"""Segments: sequences of different lengths as the same number of steps, for fusions that add or stack them.

Shape letters: B utterances, T steps, S segments, D width.
"""

from __future__ import annotations

import torch

from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Steps


def segments(steps: Steps, count: int) -> Steps:
    """Return the mean of each of `count` equal parts of an utterance's valid steps, [B, S, D]; all of them are valid.

    Step i of n valid ones is of segment floor(i * count / n). A segment without a step has the nearest valid one: of n
    steps the one at floor((s + 1/2) * n / count). The result does not depend on padding. Every utterance needs a step.

    >>> values_BTD, mask_BT = torch.tensor([[[1.0], [3.0], [5.0], [0.0]]]), torch.tensor([[True] * 3 + [False]])
    >>> segments(Steps(values_BTD=values_BTD, mask_BT=mask_BT), 2).values_BTD.flatten().tolist()
    [2.0, 5.0]
    """
    mask_BT = steps.mask_BT
    values_BTD = zero_masked(steps.values_BTD, mask_BT)
    n_B1 = mask_BT.sum(dim=1, keepdim=True)
    rank_BT = mask_BT.cumsum(dim=1) - 1
    segment_BT = torch.where(mask_BT, rank_BT * count // n_B1.clamp(min=1), count)
    member_BST = segment_BT[:, None, :] == torch.arange(count, device=mask_BT.device)[None, :, None]
    held_BS1 = member_BST.sum(dim=2, keepdim=True)
    mean_BSD = member_BST.to(values_BTD.dtype) @ values_BTD / held_BS1.clamp(min=1)
    nearest_BS = (2 * torch.arange(count, device=mask_BT.device)[None] + 1) * n_B1 // (2 * count)
    nearest_BST = (rank_BT[:, None, :] == nearest_BS[..., None]) & mask_BT[:, None, :]
    nearest_BSD = nearest_BST.to(values_BTD.dtype) @ values_BTD
    values_BSD = torch.where(held_BS1 > 0, mean_BSD, nearest_BSD)
    return Steps(values_BTD=values_BSD, mask_BT=torch.ones_like(held_BS1[..., 0], dtype=torch.bool))
