"""Contrastive losses on one vector per utterance: by the labels, and between two passes with other dropout.

Shape letters: K rows of this process, G rows of all processes, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets.gather import counts, gather_rows, rank, share
from foalnet.nets.project import unit
from foalnet.nets.tensors import UNSCORED


def supervised_contrastive(x_KD: Tensor, label_K: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out), this process' share of the mean.

    Row i against all other rows: minus the mean over its positives (rows of its label but itself) of the log-softmax
    of its cosines divided by `temperature`. Rows without a class or without a positive take no part.

    >>> x_KD = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> round(supervised_contrastive(x_KD, torch.tensor([0, 0, 1]), 1.0).item(), 4)  # -log(e / (e + 1))
    0.3133
    """
    z_GD, label_G = gather_rows(unit(x_KD)), gather_rows(label_K)
    own_K = _own(len(x_KD), x_KD.device)
    sim_KG = _cosines(z_GD[own_K], z_GD, temperature)
    itself_KG = own_K[:, None] == torch.arange(len(z_GD), device=x_KD.device)
    used_G = label_G != UNSCORED
    others_KG = ~itself_KG & used_G
    positive_KG = others_KG & (label_G == label_K[:, None])
    row_K = positive_KG.any(dim=1) & used_G[own_K]
    log_KG = sim_KG - sim_KG.masked_fill(~others_KG, torch.finfo(sim_KG.dtype).min).logsumexp(dim=1, keepdim=True)
    log_KG = torch.where(positive_KG, log_KG, 0.0)
    each_K = -log_KG.sum(dim=1) / positive_KG.sum(dim=1).clamp(min=1)
    return _share(each_K, row_K)


def two_passes(first_KD: Tensor, second_KD: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE between two passes of the same rows (Gao et al., EMNLP 2021), this process' share of the mean.

    Row i of the first pass is nearer to row i of the second than to its other rows.

    >>> eye = torch.eye(2, dtype=torch.float64)
    >>> round(two_passes(eye, eye, 1.0).item(), 4)
    0.3133
    """
    first_KD, second_GD = unit(first_KD), gather_rows(unit(second_KD))
    own_K = _own(len(first_KD), first_KD.device)
    each_K = F.cross_entropy(_cosines(first_KD, second_GD, temperature), own_K, reduction="none")
    return _share(each_K, torch.ones_like(own_K, dtype=torch.bool))


def _cosines(x_KD: Tensor, y_GD: Tensor, temperature: float) -> Tensor:
    with torch.autocast(x_KD.device.type, enabled=False):
        return x_KD @ y_GD.T / temperature


def _own(size: int, device: torch.device) -> Tensor:
    """Return the places of this process' rows among those of all processes."""
    return torch.arange(size, device=device) + sum(counts(size, device)[: rank()])


def _share(each_K: Tensor, row_K: Tensor) -> Tensor:
    """Return this process' share of the mean over the rows that take part; 0 without any."""
    number = row_K.sum()
    mean = torch.where(row_K, each_K, 0.0).sum() / number.clamp(min=1)
    return share(mean, number)
