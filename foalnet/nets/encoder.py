"""The interface of an encoder; docs/add-an-encoder.md shows how to add one.

An encoder may compute statistics of its input over the training fold (`fit`). It stores them as buffers, so that a
checkpoint contains them and a test fold never changes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foalnet.config.variants import Modality
from foalnet.core.errors import UsageError
from foalnet.nets.tensors import Inputs, Steps


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """The shape of a corpus' batches: the sound's rate, one frame's shape, (3, H, W) or (D,), and D of text.

    `text`: the width of the vectors of `features.text`; None where an encoder reads the words themselves.
    """

    rate_hz: int
    frame: tuple[int, ...]
    text: int | None = None

    def width(self, modality: Modality, encoder: str) -> int:
        """Return D of a modality that an encoder takes as vectors; UsageError (exit 2) for another input."""
        if modality == "text" and self.text is not None:
            return self.text
        if modality == "video" and len(self.frame) == 1:
            return self.frame[0]
        if modality == "text":
            what, action = "the words themselves", "name an encoder as features.text.encoder, or set it to hashed"
        else:
            what, action = f"frames of shape {list(self.frame)}", "set it to crop_cnn for train.picture: face or half"
        raise UsageError(
            f"train.{modality}.encoder: {encoder} needs feature vectors, and this corpus gives it {what}", action=action
        )


class Encoder(nn.Module):
    """Turns one modality into a sequence of steps of `width`, with masked steps exactly 0.

    The result for an utterance depends neither on the amount of padding nor on the other utterances of its batch.
    """

    width: int

    def prepare_steps(self, inputs: Inputs) -> Steps | None:  # noqa: ARG002
        """Return the part of the result that no weight influences, for `inputs.prepared`; None if there is none."""
        return None

    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute statistics of the training fold into buffers; the default does nothing."""

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT."""
        raise NotImplementedError


def chance(dropout: float | None) -> float:
    """Return a dropout after `build_net` has replaced null by the pretrained encoder's value."""
    assert dropout is not None, "build_net replaces every null dropout"
    return dropout


class PretrainedEncoder(Encoder):
    """An encoder with published weights, built from its architecture; it learns at `train.lr_encoder`."""

    tuned: nn.Module


class Moments:
    """Accumulates mean and deviation of rows over many batches in float64, so that the order hardly matters."""

    def __init__(self) -> None:
        self._count = 0
        self._sum_D: Tensor | float = 0.0
        self._square_D: Tensor | float = 0.0

    def add(self, rows_ND: Tensor) -> None:
        """Add rows, except those that are not finite; the training step on such a row names its utterance."""
        rows_ND = rows_ND[rows_ND.isfinite().all(dim=1)].double()
        self._count += len(rows_ND)
        self._sum_D = self._sum_D + rows_ND.sum(dim=0)
        self._square_D = self._square_D + rows_ND.square().sum(dim=0)

    def into(self, mean_D: Tensor, deviation_D: Tensor, *, floor: float = 1e-3) -> None:
        """Write mean and deviation into two buffers, which stay unchanged without any row."""
        if self._count:
            mean = torch.as_tensor(self._sum_D) / self._count
            variance = (torch.as_tensor(self._square_D) / self._count - mean.square()).clamp(min=0.0)
            mean_D.copy_(mean)
            # rsqrt, because torch computes sqrt and pow by MKL, and the last digit depends on the processor.
            deviation_D.copy_(variance.clamp(min=floor**2).rsqrt().reciprocal())
