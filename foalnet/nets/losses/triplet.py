"""The losses of M2FNet's extractors: adaptive triplet, variance and covariance (Chudasama et al., CVPR Workshops 2022).

Exact: L = D_ap - (D_an + D_pn) / 2 + m with m = [1 + 2 exp(-4 D_ap)] + [1 + 2 exp(4 D_an - 4)], variance and covariance
over anchors, positives and negatives; the paper's weights are 20, 1 (variance) and 5 (covariance). The paper prints the
variance without a hinge; it then has no smallest value. Our interpretation: D between vectors of unit length, so that
the exponential is bounded (L is then never below 0, and a hinge on it has no effect); every triplet of the batch in
place of drawn ones. With several processes the batch is that of all.
Shape letters: B rows of this process, K those that take part, G those of all processes, D width.
Roots are taken by rsqrt, which is the same on every processor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from foalnet.config.variants import Modality
from foalnet.nets.gather import counts, gather_rows, rank, share
from foalnet.nets.project import unit
from foalnet.nets.tensors import UNSCORED, Encoded

# Smallest squared distance that has a gradient, and what keeps the root of a variance away from 0.
EPSILON = 1e-6
VARIANCE_EPSILON = 1e-4
# A row of the batch is anchor, positive and negative, and the paper sums variance and covariance over the three.
ROLES = 3


def extractor_losses(
    vectors: Mapping[Modality, Tensor], encoded: Encoded, label_B: Tensor, weights: Mapping[str, float], *, hinge: bool
) -> dict[str, Tensor]:
    """Return those of `triplet`, `variance` and `covariance` that have a weight, each the mean over the modalities.

    `vectors`: one vector [B, D] of each utterance by modality. Rows without a class or the modality take no part.
    """
    kept = {m: (encoded[m].present_B & (label_B != UNSCORED)).nonzero().squeeze(1) for m in vectors}
    each = {
        "triplet": lambda m: adaptive_triplet(vectors[m][kept[m]], label_B[kept[m]]),
        "variance": lambda m: variance(vectors[m][kept[m]], hinge=hinge),
        "covariance": lambda m: covariance(vectors[m][kept[m]]),
    }
    return {name: torch.stack([each[name](m) for m in vectors]).mean() for name, weight in weights.items() if weight}


def adaptive_triplet(x_KD: Tensor, label_K: Tensor) -> Tensor:
    """Return the adaptive triplet loss, this process' share of the mean over the rows; all rows have a class.

    A row's loss is the mean over all of its triplets; a row without a positive or a negative takes no part.

    >>> x_KD = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> round(adaptive_triplet(x_KD, torch.tensor([0, 0, 1])).item(), 3)  # D: 0.001, root 2, root 2
    13.064
    """
    x_GD, label_G = gather_rows(unit(x_KD)), gather_rows(label_K)
    with torch.autocast(x_KD.device.type, enabled=False):
        x_GD = x_GD.float() if x_GD.dtype in (torch.float16, torch.bfloat16) else x_GD
        distance_GG = (2 - 2 * (x_GD @ x_GD.T)).clamp(min=EPSILON).rsqrt().reciprocal()
    same_GG = label_G[:, None] == label_G
    positive_GG = same_GG & ~torch.eye(len(label_G), dtype=torch.bool, device=label_G.device)
    negative_GG = ~same_GG
    # All terms but D_pn depend on one of the two; a positive has the negatives of its anchor.
    by_positive_GG = distance_GG + 1 + 2 * (-4 * distance_GG).exp()
    by_negative_GG = 1 + 2 * (4 * distance_GG - 4).exp() - distance_GG / 2
    between_G = _row_mean(distance_GG, negative_GG)
    each_G = _row_mean(by_positive_GG - between_G / 2, positive_GG) + _row_mean(by_negative_GG, negative_GG)
    used_G = positive_GG.any(dim=1) & negative_GG.any(dim=1)
    first = sum(counts(len(x_KD), x_KD.device)[: rank()])
    own = slice(first, first + len(x_KD))
    number = used_G[own].sum()
    return share(torch.where(used_G[own], each_G[own], 0.0).sum() / number.clamp(min=1), number)


def variance(x_KD: Tensor, *, hinge: bool) -> Tensor:
    """Return 3 times the mean over the columns of 1 minus the deviation over the rows, with `hinge` at least 0 each.

    0 with fewer than two rows. All processes return the same.

    >>> variance(torch.tensor([[0.0, 0.0], [1.0, 4.0]], dtype=torch.float64), hinge=True).item() < 0.45
    True
    """
    x_GD = gather_rows(x_KD)
    if len(x_GD) < 2:
        return x_GD.sum() * 0.0
    short_D = 1 - (x_GD.var(dim=0) + VARIANCE_EPSILON).rsqrt().reciprocal()
    return ROLES * (short_D.relu() if hinge else short_D).mean()


def covariance(x_KD: Tensor) -> Tensor:
    """Return 3 times the sum of the squared covariances of different columns over the rows, divided by D.

    0 with fewer than two rows. All processes return the same.

    >>> covariance(torch.tensor([[0.0, 0.0], [1.0, 4.0]], dtype=torch.float64)).item()  # 3 * (2^2 + 2^2) / 2
    12.0
    """
    x_GD = gather_rows(x_KD)
    if len(x_GD) < 2:
        return x_GD.sum() * 0.0
    centred_GD = x_GD - x_GD.mean(dim=0)
    with torch.autocast(x_GD.device.type, enabled=False):
        covariance_DD = centred_GD.T @ centred_GD / (len(x_GD) - 1)
    other_DD = covariance_DD - torch.diag(covariance_DD.diagonal())
    return ROLES * other_DD.square().sum() / x_GD.shape[1]


def _row_mean(values_GG: Tensor, mask_GG: Tensor) -> Tensor:
    return torch.where(mask_GG, values_GG, 0.0).sum(dim=1) / mask_GG.sum(dim=1).clamp(min=1)
