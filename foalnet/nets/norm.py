"""Batch norm over valid steps only.

Shape letters: B utterances, T steps, D width, N valid steps of the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.nets.gather import counts, gather_rows, ranks

MOMENTUM, EPSILON = 0.1, 1e-5
HALVES = (torch.float16, torch.bfloat16)


class MaskedBatchNorm(nn.Module):
    """Normalises each channel to mean 0 and deviation 1 over the batch's valid steps, then scales and shifts it.

    Outside training it uses running statistics, so the result depends neither on padding nor on other utterances. A
    batch with values that are not finite does not change them, because training skips its step. With several
    processes the batch is that of all processes.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.mean_D: Tensor
        self.variance_D: Tensor
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("variance_D", torch.ones(width))

    def forward(self, values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return [B, T, D]; masked steps are 0."""
        return put_rows(self.rows(values_BTD[mask_BT]), mask_BT)

    def rows(self, rows_ND: Tensor) -> Tensor:
        """Return the valid steps of a batch, one per row, normalised."""
        # Moments are computed in float32, whatever the precision of the input.
        rows_ND = rows_ND.float() if rows_ND.dtype in HALVES else rows_ND
        steps = sum(counts(len(rows_ND), rows_ND.device)) if self.training else 0
        # The deviation of one row is undefined.
        if steps < 2:
            return F.batch_norm(rows_ND, self.mean_D, self.variance_D, self.weight, self.bias)
        if ranks() == 1:
            normed_ND, mean_D, inverse_D = torch.native_batch_norm(
                rows_ND, self.weight, self.bias, None, None, True, 0.0, EPSILON
            )
            self._remember(mean_D.detach(), inverse_D.detach().square().reciprocal() - EPSILON)
            return normed_ND
        variance_D, mean_D = _moments(rows_ND, steps)
        self._remember(mean_D.detach(), variance_D.detach())
        scale_D = self.weight * torch.rsqrt(variance_D + EPSILON)
        return (rows_ND - mean_D) * scale_D + self.bias

    def _remember(self, mean_D: Tensor, variance_D: Tensor) -> None:
        if bool(torch.isfinite(mean_D + variance_D).all()):
            self.mean_D.lerp_(mean_D, MOMENTUM)
            self.variance_D.lerp_(variance_D, MOMENTUM)


def _moments(rows_ND: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return variance and mean of the `steps` rows of all processes."""
    mean_D = gather_rows(rows_ND.sum(dim=0, keepdim=True)).sum(dim=0) / steps
    variance_D = gather_rows((rows_ND - mean_D).square().sum(dim=0, keepdim=True)).sum(dim=0) / steps
    return variance_D, mean_D


def put_rows(rows_ND: Tensor, mask_BT: Tensor) -> Tensor:
    """Return [B, T, D] with the rows, in order, at the places where the mask is True, and 0 elsewhere.

    >>> put_rows(torch.tensor([[1.0], [2.0]]), torch.tensor([[True, False, True]])).tolist()
    [[[1.0], [0.0], [2.0]]]
    """
    out_BTD = rows_ND.new_zeros(*mask_BT.shape, rows_ND.shape[1])
    out_BTD[mask_BT] = rows_ND
    return out_BTD
