"""The inputs and outputs of a network: frozen records of named tensors.

Shape letters: B utterances of a batch, N samples, F frames, T steps of a sequence, D width, C classes, E projection.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

I = TypeVar("I", bound="Inputs")  # noqa: E741


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A sequence per utterance: values_BTD, zero where mask_BT (bool) is False."""

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


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The encoders' outputs; None for a modality that the variant does not use."""

    audio: Steps | None
    video: Steps | None

    def to(self, device: torch.device) -> Encoded:
        """Return the same outputs on another device."""
        return Encoded(audio=self.audio and self.audio.to(device), video=self.video and self.video.to(device))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch's inputs to a network, without labels.

    `prepared`: stored results of `prepare_steps`; an encoder uses them instead of the modality's sound or frames,
    which the batch then omits. `encoded`: stored complete outputs of frozen encoders.
    `wave_BN` float32 in [-1, 1], zero where `wave_mask_BN` (bool) is False; `frames` uint8 [B, F, 3, H, W] or
    float32 [B, F, D], zero where `frame_mask_BF` (bool) is False. An utterance has at least one sample; it may have
    no frame.
    """

    wave_BN: Tensor
    wave_mask_BN: Tensor
    frames: Tensor
    frame_mask_BF: Tensor
    prepared: Encoded | None = None
    encoded: Encoded | None = None

    def to(self: I, device: torch.device) -> I:
        """Return the same batch on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor | Encoded)}
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class Batch(Inputs):
    """Inputs with the utterances' keys, and their class numbers (int64) if the caller may know them."""

    keys: tuple[str, ...]
    label_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Fused:
    """A fusion's result: pooled_BP for the classifier, and both sides if the fusion is two-sided (for MEM)."""

    pooled_BP: Tensor
    audio_BD: Tensor | None = None
    video_BD: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The result of a forward pass, which uses no labels.

    `audio_BE`, `video_BE`: unit-norm projections for AVEL, and `scale` its logit scale (scalar); None if the variant
    has none. `video_present_B` is True for each utterance with at least one picture.
    """

    logits_BC: Tensor
    encoded: Encoded
    fused: Fused
    audio_BE: Tensor | None = None
    video_BE: Tensor | None = None
    scale: Tensor | None = None
    video_present_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """MEM's negatives: for each utterance's audio a video of another emotion, for each video an audio."""

    video: Steps
    audio: Steps


@dataclass(frozen=True, kw_only=True)
class MatchLogits:
    """MEM's four logits, [B, 2] each (class 1: the pair shares its emotion), before any row is left out."""

    audio_matched_B2: Tensor
    audio_negative_B2: Tensor
    video_matched_B2: Tensor
    video_negative_B2: Tensor
