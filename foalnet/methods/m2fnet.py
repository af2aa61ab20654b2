"""M2FNet over the turns of a dialogue (Chudasama et al., CVPR Workshops 2022, arXiv 2206.02187).

One vector per turn and modality; foalnet/nets/m2fnet.py has the layers, and what of them is exact. N = 5, m = 5 and the
dialogue as sequence are the paper's. Our interpretation: the vectors are masked means of the stem's steps, where the
paper has its own extractors; their losses are offered on the vectors of sound and picture, off by default.
Shape letters: B utterances, S dialogues, T turns, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, get_args

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
from foalnet.nets.tensors import Inputs, Outputs
from foalnet.nets.turn_weights import SHARES, turn_shares

SOURCE = "Chudasama et al. 2022, M2FNet"
Layers = Annotated[int, Field(ge=1, le=16)]


class Config(base.FusionConfig):
    """The params of M2FNet over turns."""

    encoders: Layers = param(5, "N, encoders of each modality over the turns (paper: 5 IEMOCAP, 1 MELD)", source=SOURCE)
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


class M2FNet(Fusion):
    """Masked means of the stem's steps -> encoders and fusion attention over the turns -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    losses: ClassVar[Mapping[str, str]] = {"triplet": "triplet", "variance": "variance", "covariance": "covariance"}
    over_turns: ClassVar[bool] = True
    explained: Mapping[str, Sequence[str]] = {f"by_{modality}": SHARES for modality in get_args(Modality)}

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
        self.hinge = config.hinge
        self.fusion = AnchorFusion(
            list(encoders),
            width,
            method="m2fnet",
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
        """Return logits_BC of all turns; explain: `by_MODALITY`, attention on itself, earlier and later turns."""
        assert inputs.turns is not None, "the batches of a method over turns hold dialogues"
        encoded, steps = self.stemmed(inputs)
        turns = inputs.turns
        vectors = {m: masked_mean(each.values_BTD, each.mask_BT) for m, each in steps.items()}
        streams = {m: turns.by_dialogue(x_BD) for m, x_BD in vectors.items()}
        joined_STD, weights = self.fusion(streams, turns.there_ST)
        return ExtractorOutputs(
            logits_BC=self.head(turns.by_row(joined_STD)),
            encoded=encoded,
            vectors={m: x_BD for m, x_BD in vectors.items() if m != "text"},
            explain={f"by_{m}": turns.by_row(turn_shares(weights_STT)) for m, weights_STT in weights.items()},
        )

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:
        """Return the extractors' losses that have a weight."""
        assert isinstance(outputs, ExtractorOutputs)
        losses = extractor_losses(outputs.vectors, outputs.encoded, label_B, self.weights, hinge=self.hinge)
        return Losses(losses=losses, counts={})
