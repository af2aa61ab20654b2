"""Encodes new pictures with the encoder and preprocessing with which a model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Features, TextFeatures
from foalnet.core.errors import MachineError
from foalnet.core.files import content_key
from foalnet.encoders import CATALOGUE, Pretrained, open_weights
from foalnet.shards import Sample
from foalnet.stages.features.clip import ClipImages, encode_sample
from foalnet.stages.features.text import TextVectors, encode_dialogue


class LiveFeatures:
    """Encodes samples on access; on one kind of device the numbers equal those of the stage `features`.

    `facts`: the block `features` of a checkpoint. MachineError (exit 4) if the weights are not ready on this machine.
    """

    def __init__(self, facts: Mapping[str, Any], settings: Settings) -> None:
        self.params = Features(
            encoder=facts["encoder"],
            weights=facts["weights"],
            picture=facts["picture"],
            frame_step=facts["frame_step"],
        )
        self.frame_step = self.params.frame_step
        self._encoder = ClipImages(_opened(facts, settings), device=settings.device)

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [F, D] float32, mask_F) of every `frame_step`-th frame."""
        return encode_sample(self._encoder, sample, self.params)


class LiveTexts:
    """Encodes the words of a sample on access, each alone: a model with `features.text.context` has none of it here.

    `facts`: the block `features.text` of a checkpoint. MachineError (exit 4) if the weights are not ready.
    """

    frame_step = 1

    def __init__(self, facts: Mapping[str, Any], settings: Settings) -> None:
        self.params = TextFeatures(**{name: facts[name] for name in ("weights", *TextFeatures.made_by)})
        kind = CATALOGUE[facts["encoder"]].kind
        self._encoder = TextVectors(_opened(facts, settings), kind=kind, device=settings.device)

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [T, D] float32, mask_T) of the words."""
        return encode_dialogue(self._encoder, [sample], self.params)[sample.key]


def _opened(facts: Mapping[str, Any], settings: Settings) -> Pretrained:
    """Return the encoder of a checkpoint's facts; MachineError (exit 4) if it prepares its input differently here."""
    pretrained = open_weights(facts["encoder"], settings, own=facts["weights"])
    expected = facts["preprocessing"]
    # An imported checkpoint may not state it: then the published encoder's preprocessing applies.
    if expected is not None and content_key(dict(pretrained.preprocessor)) != expected:
        file = CATALOGUE[pretrained.name].prepares
        raise MachineError(
            f"{pretrained.name} prepares its input differently here than when the model was trained",
            file=pretrained.folder,
            action=f"put the {file} of that time there",
        )
    return pretrained
