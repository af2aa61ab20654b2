"""What goes into a network and what comes out: frozen records of named tensors.

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
        """Tell which utterances have at least one step."""
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
    """The branches' outputs; a variant without a branch has None there."""

    audio: Steps | None
    video: Steps | None

    def to(self, device: torch.device) -> Encoded:
        """Return the same outputs on another device."""
        return Encoded(audio=self.audio and self.audio.to(device), video=self.video and self.video.to(device))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that a network may see of a batch; there is no label here.

    `prepared`: what the encoders need not compute again, where that is at hand: a modality that it holds is read
    there, and its sound or frames are left out. `encoded`: the same of frozen encoders, all of their work.
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
    """Inputs with the utterances' keys, and their class numbers (int64) where the caller may know them."""

    keys: tuple[str, ...]
    label_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What a fusion makes of a batch: pooled_BP for the classifier, and the two sides where it has two (for MEM)."""

    pooled_BP: Tensor
    audio_BD: Tensor | None = None
    video_BD: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a forward pass gives, without labels.

    `audio_BE`, `video_BE`: unit-norm projections for AVEL and `scale` its logit scale (scalar), None where the variant
    has none; `video_present_B` tells which utterances have a picture at all.
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
    """What MEM puts beside each utterance of another emotion: a video beside its audio, an audio beside its video."""

    video: Steps
    audio: Steps


@dataclass(frozen=True, kw_only=True)
class MatchLogits:
    """MEM's four answers, [B, 2] each (class 1: the pair shares its emotion), before any row is left out."""

    audio_matched_B2: Tensor
    audio_negative_B2: Tensor
    video_matched_B2: Tensor
    video_negative_B2: Tensor
