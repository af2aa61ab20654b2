"""Masked arithmetic: masked values never influence a result, and the mean of no value is zero, not NaN.

Shape letters: B utterances, T steps, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def zero_masked(values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the values with every masked step set to 0 (masked NaN too).

    >>> zero_masked(torch.tensor([[[1.0], [torch.nan]]]), torch.tensor([[True, False]])).tolist()
    [[[1.0], [0.0]]]
    """
    return torch.where(mask_BT.unsqueeze(-1), values_BTD, values_BTD.new_zeros(()))


def masked_mean(values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean over the valid steps, [B, D]; zeros for an utterance without one.

    >>> mask_BT = torch.tensor([[True, True, False]])
    >>> masked_mean(torch.tensor([[[1.0], [3.0], [99.0]]]), mask_BT)
    tensor([[2.]])
    """
    total_BD = zero_masked(values_BTD, mask_BT).sum(dim=1)
    return total_BD / mask_BT.sum(dim=1, keepdim=True).clamp(min=1)


def strided(mask_BT: Tensor, stride: int) -> Tensor:
    """Return the mask after a same-padded convolution of that stride: step j is valid if step j * stride was.

    >>> strided(torch.tensor([[True, True, True, False]]), 2)
    tensor([[True, True]])
    """
    return mask_BT[:, ::stride]
