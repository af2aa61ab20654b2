"""The inputs and outputs of a network: frozen records of named tensors.

Shape letters: B utterances of a batch, N samples, F frames, T steps of a sequence, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from foalnet.config.variants import Modality

I = TypeVar("I", bound="Inputs")  # noqa: E741


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A sequence per utterance: values_BTD, zero where mask_BT (bool) is False.

    T counts samples, frames or an encoder's steps; of a sequence of numbers the values are [B, T], of pictures
    [B, T, 3, H, W].
    """

    values_BTD: Tensor
    mask_BT: Tensor

    @property
    def present_B(self) -> Tensor:
        """True for each utterance with at least one step."""
        return self.mask_BT.any(dim=1)

    def take(self, index_B: Tensor) -> Steps:
        """Return the sequences in another order (hard negatives)."""
        return Steps(values_BTD=self.values_BTD[index_B], mask_BT=self.mask_BT[index_B])

    def row(self, index: int) -> Steps:
        """Return one utterance's sequence as a batch of one, without its padding; at least one step long."""
        length = max(1, int(self.mask_BT[index].nonzero().max()) + 1 if bool(self.mask_BT[index].any()) else 1)
        own = slice(index, index + 1)
        return Steps(values_BTD=self.values_BTD[own, :length].float(), mask_BT=self.mask_BT[own, :length])

    def to(self, device: torch.device) -> Steps:
        """Return the same sequences on another device."""
        return Steps(values_BTD=self.values_BTD.to(device), mask_BT=self.mask_BT.to(device))


# The encoders' outputs of the modalities that a variant uses.
Encoded = Mapping[Modality, Steps]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch's inputs to a network, without labels, by modality.

    `raw`: what the encoders read: of `audio` values float32 [B, N] in [-1, 1], of `video` uint8 [B, F, 3, H, W] or
    float32 [B, F, D]; zero where the mask is False. An utterance has at least one sample; it may have no frame.
    `prepared`: stored results of `prepare_steps`, which an encoder uses in place of `raw`; the batch then omits that.
    `encoded`: stored complete outputs of frozen encoders, in place of both.
    """

    raw: Encoded
    prepared: Encoded = field(default_factory=dict)
    encoded: Encoded = field(default_factory=dict)

    def to(self: I, device: torch.device) -> I:
        """Return the same batch on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
        moved |= {name: on_device(v, device) for name, v in values.items() if isinstance(v, Mapping)}
        return replace(self, **moved)


def on_device(encoded: Encoded, device: torch.device) -> Encoded:
    """Return the same outputs on another device."""
    return {modality: steps.to(device) for modality, steps in encoded.items()}


@dataclass(frozen=True, kw_only=True)
class Batch(Inputs):
    """Inputs with the utterances' keys, and their class numbers (int64) if the caller may know them."""

    keys: tuple[str, ...]
    label_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The result of a forward pass, which uses no labels; a method adds what its own losses need."""

    logits_BC: Tensor
    encoded: Encoded


@dataclass(frozen=True, kw_only=True)
class MatchLogits:
    """MEM's four logits, [B, 2] each (class 1: the pair shares its emotion), before any row is left out."""

    audio_matched_B2: Tensor
    audio_negative_B2: Tensor
    video_matched_B2: Tensor
    video_negative_B2: Tensor
