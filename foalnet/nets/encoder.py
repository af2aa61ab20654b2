"""What every encoder promises. Add one: docs/add-an-encoder.md.

An encoder may learn statistics of its input from the training fold (`fit`); it keeps them as buffers, so that a
checkpoint holds them and a test fold never changes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foalnet.nets.tensors import Inputs, Steps


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """What a corpus' batches look like: the sound's rate, and one frame's shape ((3, H, W) or (D,))."""

    rate_hz: int
    frame: tuple[int, ...]


class Encoder(nn.Module):
    """One modality to a sequence of steps of `width`, masked steps exactly 0.

    The result of an utterance depends neither on the amount of padding nor on the others of its batch.
    """

    width: int

    def prepare_steps(self, inputs: Inputs) -> Steps | None:  # noqa: ARG002
        """Return the part of the work that no weight changes, for `inputs.prepared`; None where there is none."""
        return None

    def fit(self, batches: Iterable[Inputs]) -> None:
        """Take statistics of the training fold into buffers; the default takes none."""

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT."""
        raise NotImplementedError


def chance(dropout: float | None) -> float:
    """Return a dropout that `build_net` has settled: where params say null it is the pretrained encoder's."""
    assert dropout is not None, "build_net settles every dropout"
    return dropout


class PretrainedEncoder(Encoder):
    """An encoder around published weights: it is built from an architecture, and learns at `train.lr_encoder`."""

    tuned: nn.Module


class Moments:
    """Sums up mean and deviation of rows over many batches in float64, so that the order does not matter much."""

    def __init__(self) -> None:
        self._count = 0
        self._sum_D: Tensor | float = 0.0
        self._square_D: Tensor | float = 0.0

    def add(self, rows_ND: Tensor) -> None:
        """Take rows into account; one that is not finite is left out: the step that meets it says whose it is."""
        rows_ND = rows_ND[rows_ND.isfinite().all(dim=1)].double()
        self._count += len(rows_ND)
        self._sum_D = self._sum_D + rows_ND.sum(dim=0)
        self._square_D = self._square_D + rows_ND.square().sum(dim=0)

    def into(self, mean_D: Tensor, deviation_D: Tensor, *, floor: float = 1e-3) -> None:
        """Write mean and deviation into two buffers; without a single row they stay as they are."""
        if self._count:
            mean = torch.as_tensor(self._sum_D) / self._count
            variance = (torch.as_tensor(self._square_D) / self._count - mean.square()).clamp(min=0.0)
            mean_D.copy_(mean)
            # sqrt and pow go to MKL, whose last digit is one on Intel's processors and another on those of others.
            deviation_D.copy_(variance.clamp(min=floor**2).rsqrt().reciprocal())
