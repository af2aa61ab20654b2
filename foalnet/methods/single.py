"""One modality alone, the reference of every fusion (docs/method.md, variants).

Shape letters: B utterances, P projected width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Method, classifier, param
from foalnet.nets.encoder import Encoder
from foalnet.nets.masks import masked_mean
from foalnet.nets.project import Projection
from foalnet.nets.tensors import Inputs, Outputs


class Config(base.Config):
    """The params of one modality's network."""

    project: Width = param(128, "width of the projection (512 in the paper)", source="paper, encoders")
    project_dropout: Dropout = param(0.5, "dropout inside the projection", unit="probability", source="paper, encoders")


class Single(Method):
    """Masked mean over time -> Projection -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    most: ClassVar[int] = 1

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, weights=weights)
        (encoder,) = encoders.values()
        self.projection = Projection(encoder.width, config.project, dropout=config.project_dropout)
        self.head = classifier(config.project, classes, config)

    @classmethod
    def name_of(cls, modality: Modality) -> str:  # noqa: ARG003
        """Return the name of the only encoder."""
        return "encoder"

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; all utterances without this modality get the same finite logits."""
        encoded = self.encode(inputs)
        (steps,) = encoded.values()
        pooled_BP = self.projection(masked_mean(steps.values_BTD, steps.mask_BT))
        return Outputs(logits_BC=self.head(pooled_BP), encoded=encoded)
