"""The projection of the AVEL task, also the only layer between pooling and classifier of a single modality."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# A vector shorter than this (a missing picture) is not scaled up to unit length.
MIN_NORM = 1e-6


class Projection(nn.Module):
    """LayerNorm(e1 + e2) with e1 = W1 x and e2 = dropout(W2 gelu(e1)), both without bias (docs/method.md, task 1)."""

    def __init__(self, width: int, out: int, *, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, out, bias=False)
        self.linear2 = nn.Linear(out, out, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(out)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return [B, E]."""
        first_BE = self.linear1(x_BD)
        out_BE: Tensor = self.norm(first_BE + self.dropout(self.linear2(F.gelu(first_BE))))
        return out_BE


def unit(x_BE: Tensor) -> Tensor:
    """Return the vectors at unit length; a vector of zeros stays zero.

    >>> import torch
    >>> unit(torch.tensor([[0.0, 2.0], [0.0, 0.0]])).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    return F.normalize(x_BE, dim=1, eps=MIN_NORM)
