"""Attention over the turns of a dialogue as three shares, which dialogues of any length have.

Shape letters: S dialogues, T turns.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHARES = ("itself", "earlier turns", "later turns")


def turn_shares(weights_STT: Tensor) -> Tensor:
    """Return of each turn's attention the shares named in SHARES, [S, T, 3].

    >>> weights_STT = torch.tensor([[[0.5, 0.5], [0.25, 0.75]]])
    >>> turn_shares(weights_STT).tolist()
    [[[0.5, 0.0, 0.5], [0.75, 0.25, 0.0]]]
    """
    itself_ST = weights_STT.diagonal(dim1=1, dim2=2)
    return torch.stack([itself_ST, weights_STT.tril(-1).sum(dim=2), weights_STT.triu(1).sum(dim=2)], dim=2)
