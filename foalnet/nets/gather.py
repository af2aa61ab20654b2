"""Gathers rows of all processes of a training run, in the order of their ranks.

Shape letters: B rows of this process, G rows of all processes, T steps.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets.tensors import Steps


def ranks() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process' number among them, from 0."""
    return dist.get_rank() if ranks() > 1 else 0


def counts(own: int, device: torch.device) -> list[int]:
    """Return the number of rows of each process."""
    if ranks() == 1:
        return [own]
    each = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(ranks())]
    dist.all_gather(each, torch.tensor([own], device=device))
    return [int(count) for count in each]


def gather_rows(rows: Tensor, *, grad: bool = True) -> Tensor:
    """Return the rows of all processes, [B, …] to [G, …]; shapes may differ only in the first dimension.

    `grad` True: the gradient of every process' loss reaches the process that has the row (docs/method.md);
    False: no gradient passes, not even to this process' own rows.
    """
    if ranks() == 1:
        return rows
    if not grad or not rows.is_floating_point():
        return _all(rows.detach())
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_steps(steps: Steps, *, grad: bool = True) -> Steps:
    """Return the sequences of all processes, padded to the longest one."""
    if ranks() == 1:
        return steps
    longest = max(counts(steps.mask_BT.shape[1], steps.mask_BT.device))
    more = longest - steps.mask_BT.shape[1]
    return Steps(
        values_BTD=gather_rows(F.pad(steps.values_BTD, (0, 0, 0, more)), grad=grad),
        mask_BT=gather_rows(F.pad(steps.mask_BT, (0, more))),
    )


def share(mean: Tensor, weight: float | Tensor) -> Tensor:
    """Return this process' share of a mean over all processes; the mean of all shares is that mean.

    `mean` is over this process' rows; `weight` is their number, or the sum of their weights.
    """
    if ranks() == 1:
        return mean
    own = torch.as_tensor(weight, dtype=torch.float64, device=mean.device)
    whole = own.clone()
    dist.all_reduce(whole)
    return mean * (own * ranks() / whole.clamp(min=torch.finfo(torch.float64).tiny)).to(mean.dtype)


class _Gather(torch.autograd.Function):
    """Forward: the rows of all processes. Backward: the sum of all processes' gradients for this process' rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # type: ignore[override]
        ctx.sizes = counts(len(rows), rows.device)
        return _all(rows, ctx.sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        whole = grad.contiguous().clone()
        dist.all_reduce(whole)
        return whole.split(ctx.sizes)[rank()]


def _all(rows: Tensor, sizes: list[int] | None = None) -> Tensor:
    sizes = counts(len(rows), rows.device) if sizes is None else sizes
    # Backends support neither different numbers of rows nor bools.
    plain = rows.to(torch.uint8) if rows.dtype == torch.bool else rows
    filled = torch.cat([plain, plain.new_zeros(max(sizes) - len(plain), *plain.shape[1:])]).contiguous()
    each = [torch.empty_like(filled) for _ in sizes]
    dist.all_gather(each, filled)
    return torch.cat([part[:size] for part, size in zip(each, sizes, strict=True)]).to(rows.dtype)
