"""Encodes new pictures with the encoder and preprocessing with which a model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Features
from foalnet.core.errors import MachineError
from foalnet.core.files import content_key
from foalnet.encoders import open_weights
from foalnet.shards import Sample
from foalnet.stages.features.clip import ClipImages, encode_sample


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
        pretrained = open_weights(facts["encoder"], settings, own=facts["weights"])
        expected = facts["preprocessing"]
        # An imported checkpoint may not state it: then the published encoder's preprocessing applies.
        if expected is not None and content_key(dict(pretrained.preprocessor)) != expected:
            raise MachineError(
                f"{pretrained.name} prepares pictures differently here than when the model was trained",
                file=pretrained.folder,
                action="put the preprocessor_config.json of that time there",
            )
        self._encoder = ClipImages(pretrained, device=settings.device)

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [F, D] float32, mask_F) of every `frame_step`-th frame."""
        return encode_sample(self._encoder, sample, self.params)
