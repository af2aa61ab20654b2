"""M2FNet's fusion over the segments of one utterance, our adaptation (Chudasama et al., CVPR Workshops 2022).

The paper fuses the turns of a dialogue (foalnet/methods/m2fnet.py, arXiv 2206.02187). Here each modality of an
utterance is cut into the same number of segments, so that the keys of one modality can index the values of another;
N = 1, m = 5, and the mean over the segments goes to the head. The key alone never brings in what a modality contains,
the last concatenation does. foalnet/nets/m2fnet.py has the layers. The losses of the paper's extractors are offered on
the means of sound and picture after the stem, off by default.
Shape letters: B utterances, T segments, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout
from foalnet.config.variants import Modality, Weight
from foalnet.methods import base
from foalnet.methods.base import Fusion, Losses, classifier, param
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.losses.triplet import extractor_losses
from foalnet.nets.m2fnet import AnchorFusion, ExtractorOutputs
from foalnet.nets.masks import masked_mean
from foalnet.nets.segments import segments
from foalnet.nets.tensors import Inputs, Outputs

SOURCE = "Chudasama et al. 2022, M2FNet"
Layers = Annotated[int, Field(ge=1, le=16)]


class Config(base.FusionConfig):
    """The params of M2FNet over segments."""

    segments: Annotated[int, Field(ge=1, le=1000)] = param(32, "segments that an utterance is cut into")
    encoders: Layers = param(1, "N, encoders of each modality over the segments", source=SOURCE)
    layers: Layers = param(5, "m, layers of fusion attention (paper: 5)", source=SOURCE)
    heads: Annotated[int, Field(ge=1, le=64)] = param(8, "attention heads (not in the paper)", source=SOURCE)
    dropout: Dropout = param(
        0.4, "in encoders and fusion attention (paper: 0.4 to 0.5)", unit="probability", source=SOURCE
    )
    query_again: bool = param(False, "the query is concatenated to what the attention gives", source=SOURCE)
    head: Literal["own", "shared"] = param(
        "own", "own: a layer with ReLU before the classifier; shared: the classifier alone", source=SOURCE
    )
    triplet: Weight = param(
        0.0, "weight of the adaptive triplet loss (paper: 20)", unit="factor", source=SOURCE, losses=["triplet"]
    )
    variance: Weight = param(
        0.0, "weight of the variance loss (paper: 1)", unit="factor", source=SOURCE, losses=["variance"]
    )
    covariance: Weight = param(
        0.0, "weight of the covariance loss (paper: 5)", unit="factor", source=SOURCE, losses=["covariance"]
    )
    hinge: bool = param(
        True, "the variance loss of a column ends at 0 (printed in the paper: it does not)", losses=["variance"]
    )


class M2FNetClip(Fusion):
    """Segments of the stem's steps -> encoders and fusion attention -> mean -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    losses: ClassVar[Mapping[str, str]] = {"triplet": "triplet", "variance": "variance", "covariance": "covariance"}

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        width = config.width
        self.segments, self.hinge = config.segments, config.hinge
        self.fusion = AnchorFusion(
            list(encoders),
            width,
            method="m2fnet_clip",
            encoders=config.encoders,
            layers=config.layers,
            heads=config.heads,
            dropout=chance(config.dropout),
            query_again=config.query_again,
        )
        joined = len(encoders) * width
        self.head = classifier(joined, classes, config)
        if config.head == "own":
            self.head = nn.Sequential(nn.Linear(joined, width), nn.ReLU(), *classifier(width, classes, config))

    def forward(self, inputs: Inputs) -> ExtractorOutputs:
        """Return logits_BC; explain: `by_MODALITY`, the attention on each segment, mean over the segments that look."""
        encoded, steps = self.stemmed(inputs)
        cut = {m: segments(each, self.segments) for m, each in steps.items()}
        joined_BTD, weights = self.fusion(
            {m: each.values_BTD for m, each in cut.items()}, cut[self.fusion.anchor].mask_BT
        )
        return ExtractorOutputs(
            logits_BC=self.head(joined_BTD.mean(dim=1)),
            encoded=encoded,
            vectors={m: masked_mean(each.values_BTD, each.mask_BT) for m, each in steps.items() if m != "text"},
            explain={f"by_{m}": weights_BTT.mean(dim=1) for m, weights_BTT in weights.items()},
        )

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:
        """Return the extractors' losses that have a weight."""
        assert isinstance(outputs, ExtractorOutputs)
        losses = extractor_losses(outputs.vectors, outputs.encoded, label_B, self.weights, hinge=self.hinge)
        return Losses(losses=losses, counts={})
