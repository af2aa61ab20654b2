"""AVEL, the alignment of the modalities: a supervised contrastive loss in both directions.

Source: docs/method.md, task 1. Shape letters: K rows of this process, G rows of all processes (K = G in one), E width.
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


def avel(audio_KG: Tensor, video_KG: Tensor, label_K: Tensor, label_G: Tensor, positives: Positives) -> Tensor:
    """Return the AVEL loss of this process' rows, the mean over the rows and over both directions.

    `audio_KG`: similarities of its audios with all videos; `video_KG`: of its videos with all audios. The positives of
    a row are all columns of its label, its own included; the row's loss is minus the mean (`positives: sum`, as
    released: the sum) of their log-softmax. 0 without rows.

    >>> sim_BB, label_B = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> round(avel(sim_BB, sim_BB.T, label_B, label_B, "mean").item(), 4)  # ln 2: nothing is aligned yet
    0.6931
    """
    if not len(label_K):
        return audio_KG.sum() + video_KG.sum()
    weight_KG = (label_G.unsqueeze(0) == label_K.unsqueeze(1)).to(audio_KG.dtype)
    if positives == "mean":
        weight_KG = weight_KG / weight_KG.sum(dim=1, keepdim=True)
    return -0.5 * sum(
        ((weight_KG * s_KG.log_softmax(dim=1)).sum(dim=1).mean() for s_KG in (audio_KG, video_KG)),
        audio_KG.new_zeros(()),
    )
