"""AVEL, the alignment of the modalities: a supervised contrastive loss in both directions.

Source: METHOD, task 1. Shape letters: K rows of this process, G rows of all processes (K = G in one), E width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Positives = Literal["mean", "sum"]


def similarity(audio_BE: Tensor, video_BE: Tensor, scale: Tensor) -> Tensor:
    """Return S = scale * A V^T, [B, B]: row i is audio i against every video. Inputs have unit norm.

    It is never computed in reduced precision, because a scale of up to 100 would amplify the rounding.

    >>> similarity(torch.eye(2), torch.eye(2), torch.tensor(2.0)).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    with torch.autocast(audio_BE.device.type, enabled=False):
        return scale * (audio_BE @ video_BE.T)


def avel(sim_BB: Tensor, label_B: Tensor, positives: Positives = "mean") -> Tensor:
    """Return the alignment loss of a similarity matrix, mean of both directions.

    Positives of a row are all rows of its label, itself included; a row's loss is minus the mean (`positives: sum`, as
    released: the sum) of their log-softmax. 0 for an empty batch.

    >>> round(avel(torch.zeros(2, 2), torch.tensor([0, 1])).item(), 4)  # ln 2: nothing is aligned yet
    0.6931
    """
    return both_directions(sim_BB, sim_BB.T, label_B, label_B, positives)


def both_directions(
    audio_KG: Tensor, video_KG: Tensor, label_K: Tensor, label_G: Tensor, positives: Positives
) -> Tensor:
    """Return the loss of this process' rows: its audios against all videos, its videos against all audios."""
    if not len(label_K):
        return audio_KG.sum() + video_KG.sum()
    weight_KG = (label_G.unsqueeze(0) == label_K.unsqueeze(1)).to(audio_KG.dtype)
    if positives == "mean":
        weight_KG = weight_KG / weight_KG.sum(dim=1, keepdim=True)
    return -0.5 * sum(
        ((weight_KG * s_KG.log_softmax(dim=1)).sum(dim=1).mean() for s_KG in (audio_KG, video_KG)),
        audio_KG.new_zeros(()),
    )
