"""Vectors of a picture that no stage has seen: the very encoder and preparation that a model was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Features
from foalnet.core.errors import MachineError
from foalnet.core.files import content_key
from foalnet.core.records import Sample
from foalnet.encoders import open_weights
from foalnet.stages.features.clip import ClipImages, encode_sample


class LiveFeatures:
    """Encodes a sample when it is asked for; on one kind of device the same numbers as the stage's files.

    `facts`: what a checkpoint tells under `features`. MachineError (exit 4) where these weights are not ready here.
    """

    def __init__(self, facts: Mapping[str, Any], settings: Settings, *, stage: str | None = None) -> None:
        self.params = Features(
            encoder=facts["encoder"],
            weights=facts["weights"],
            picture=facts["picture"],
            frame_step=facts["frame_step"],
        )
        self.frame_step = self.params.frame_step
        pretrained = open_weights(facts["encoder"], settings, own=facts["weights"], stage=stage)
        asked = facts["preprocessing"]
        # An imported checkpoint may not know: then it is prepared as the published encoder says.
        if asked is not None and content_key(dict(pretrained.preprocessor)) != asked:
            raise MachineError(
                f"{pretrained.name} prepares pictures here in another way than when the model was trained",
                file=pretrained.folder,
                stage=stage,
                action="lay the preprocessor_config.json of that time there",
            )
        self._encoder = ClipImages(pretrained, device=settings.device)

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [F, D] float32, mask_F) of every `frame_step`-th frame."""
        return encode_sample(self._encoder, sample, self.params)
