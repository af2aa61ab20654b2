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
# torch's own number for a row that no loss counts.
UNSCORED = -100


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


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The dialogues of a batch, for a method over turns: its rows are their turns, dialogue by dialogue, in order.

    Shape letters: S dialogues, T turns of the longest. `there_ST`: the turn exists; `scored_ST`: it has a class of the
    experiment; `speaker_ST`: the number of its speaker in the dialogue, from 0 in order of appearance (int64).
    """

    there_ST: Tensor
    scored_ST: Tensor
    speaker_ST: Tensor

    def by_dialogue(self, values_BD: Tensor) -> Tensor:
        """Return the rows as [S, T, D], zero where no turn is."""
        values_STD = values_BD.new_zeros(*self.there_ST.shape, *values_BD.shape[1:])
        values_STD[self.there_ST] = values_BD
        return values_STD

    def by_row(self, values_STD: Tensor) -> Tensor:
        """Return the turns as the rows of the batch, [B, D]."""
        return values_STD[self.there_ST]

    def to(self, device: torch.device) -> Turns:
        """Return the same dialogues on another device."""
        return Turns(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


# The encoders' outputs of the modalities that a variant uses.
Encoded = Mapping[Modality, Steps]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch's inputs to a network, without labels, by modality.

    `raw`: what the encoders read: of `audio` values float32 [B, N] in [-1, 1], of `video` uint8 [B, F, 3, H, W] or
    float32 [B, F, D]; zero where the mask is False. An utterance has at least one sample; it may have no frame.
    `prepared`: stored results of `prepare_steps`, which an encoder uses in place of `raw`; the batch then omits that.
    `encoded`: stored complete outputs of frozen encoders, in place of both.
    `turns`: the dialogues, for a method over turns.
    """

    raw: Encoded
    prepared: Encoded = field(default_factory=dict)
    encoded: Encoded = field(default_factory=dict)
    turns: Turns | None = None

    def to(self: I, device: torch.device) -> I:
        """Return the same batch on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
        moved |= {name: on_device(v, device) for name, v in values.items() if isinstance(v, Mapping)}
        moved |= {name: v.to(device) for name, v in values.items() if isinstance(v, Turns)}
        return replace(self, **moved)


def on_device(encoded: Encoded, device: torch.device) -> Encoded:
    """Return the same outputs on another device."""
    return {modality: steps.to(device) for modality, steps in encoded.items()}


@dataclass(frozen=True, kw_only=True)
class Batch(Inputs):
    """Inputs with the utterances' keys, and their class numbers (int64) if the caller may know them.

    A turn without a class, or with one that the caller may not know, has the number UNSCORED. `affect_BE`: valence and
    activation, NaN where the caller may not know them, for a method that learns them.
    """

    keys: tuple[str, ...]
    label_B: Tensor | None = None
    affect_BE: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The result of a forward pass, which uses no labels; a method adds what its own losses need.

    `explain`: what shows how the method decided, by name: weights or gates [B, K], the same K for all utterances.
    `affect_BE`: predicted valence and activation, of a method that learns them.
    """

    logits_BC: Tensor
    encoded: Encoded
    affect_BE: Tensor | None = None
    explain: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MatchLogits:
    """MEM's four logits, [B, 2] each (class 1: the pair shares its emotion), before any row is left out."""

    audio_matched_B2: Tensor
    audio_negative_B2: Tensor
    video_matched_B2: Tensor
    video_negative_B2: Tensor
