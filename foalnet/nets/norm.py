"""Batch norm that sees valid steps alone.

Shape letters: B utterances, T steps, D width, N valid steps of the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.nets.gather import counts, gather_rows, ranks

MOMENTUM = 0.1
HALVES = (torch.float16, torch.bfloat16)


class MaskedBatchNorm(nn.Module):
    """Each channel brought to mean 0 and deviation 1 over the valid steps of the batch, then scaled and shifted.

    Outside training the running statistics are used, so an answer depends neither on padding nor on neighbours. A batch
    with numbers that are not finite leaves them as they were: its step is skipped, and nothing may remain of it. Of
    several processes the batch is that of all.
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
        """Return [B, T, D]; masked steps hold something finite that the caller masks again."""
        # Moments are taken in float32, whatever the precision of what comes in.
        values_BTD = values_BTD.float() if values_BTD.dtype in HALVES else values_BTD
        rows_ND = values_BTD[mask_BT]
        steps = sum(counts(len(rows_ND), rows_ND.device)) if self.training else 0
        # One row has no deviation.
        if steps < 2:
            return F.batch_norm(
                values_BTD.transpose(1, 2), self.mean_D, self.variance_D, self.weight, self.bias
            ).transpose(1, 2)
        variance_D, mean_D = _moments(rows_ND, steps)
        self._remember(mean_D.detach(), variance_D.detach())
        scale_D = self.weight * torch.rsqrt(variance_D + 1e-5)
        return (values_BTD - mean_D) * scale_D + self.bias

    def _remember(self, mean_D: Tensor, variance_D: Tensor) -> None:
        if bool(torch.isfinite(mean_D + variance_D).all()):
            self.mean_D.lerp_(mean_D, MOMENTUM)
            self.variance_D.lerp_(variance_D, MOMENTUM)


def _moments(rows_ND: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return variance and mean of the rows of all processes, `steps` in number."""
    if ranks() == 1:
        return torch.var_mean(rows_ND, dim=0, correction=0)
    mean_D = gather_rows(rows_ND.sum(dim=0, keepdim=True)).sum(dim=0) / steps
    variance_D = gather_rows((rows_ND - mean_D).square().sum(dim=0, keepdim=True)).sum(dim=0) / steps
    return variance_D, mean_D
