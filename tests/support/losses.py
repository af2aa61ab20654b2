"""The losses of Foal-Net as one process computes them: one similarity matrix, one number."""

from __future__ import annotations

import torch
from torch import Tensor

from foalnet.nets import MatchLogits
from foalnet.nets.losses import avel, mem
from foalnet.nets.losses.avel import Positives


def avel_of(sim_BB: Tensor, label_B: Tensor, positives: Positives = "mean") -> Tensor:
    """Return the AVEL loss of a similarity matrix."""
    return avel(sim_BB, sim_BB.T, label_B, label_B, positives)


def mem_of(logits: MatchLogits, audio_drawn_B: Tensor, video_drawn_B: Tensor) -> Tensor:
    """Return the mean of MEM's two directions."""
    return torch.stack(mem(logits, audio_drawn_B, video_drawn_B)).mean()
