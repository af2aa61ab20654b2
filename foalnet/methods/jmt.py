"""The Joint Multimodal Transformer (Waligora et al., CVPR workshops / ABAW 2024, arXiv 2403.10488).

A third stream joins sound and picture at every time step; each stream has an encoder, the three attend to each other in
six cross-attentions, and a transformer over their six outputs weighs them at every step. Exact: streams, encoders
(self-attention, feed-forward, residual, LayerNorm; no position), the six attentions with their order, unit-norm inputs,
one head, no dropout, the last token read out, the hidden layer of the regressor. Our interpretation: utterances are cut
into the same number of segments, as the joint stream needs equal steps; the steps are averaged before the head; the
regressor's ReLU. With the loss `ccc` the regressor has the paper's task, valence and arousal, and 1 - CCC alone trains
what is before it; a linear layer, which passes no gradient back, reads the classes from the two (the norm to which the
gradients are clipped includes that layer's). Without it the regressor gives the classes.
Shape letters: B utterances, T segments, D width, K tokens (6), X utterances times segments, C classes, E = 2 (valence,
activation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Count, Dropout, Width
from foalnet.config.variants import Modality, Weight
from foalnet.core.labels import AFFECT
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, classifier, param
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.heads import check_heads
from foalnet.nets.segments import segments
from foalnet.nets.tensors import Inputs, Outputs

SOURCE = "Waligora et al. 2024, JMT"
STREAMS = ("video", "audio", "joint")
# (query, source) of the six tokens, in the paper's order; the last one is read out.
TOKENS = (
    ("video", "audio"),
    ("audio", "video"),
    ("joint", "video"),
    ("video", "joint"),
    ("joint", "audio"),
    ("audio", "joint"),
)


class Config(FusionConfig):
    """The params of the Joint Multimodal Transformer."""

    segments: Count = param(32, "equal parts of an utterance, the time steps of the transformer")
    normalise: bool = param(True, "the vector of every segment has unit length", source=SOURCE)
    heads: Annotated[int, Field(ge=1, le=64)] = param(1, "attention heads (paper: 1)", source=SOURCE)
    feedforward: Width = param(256, "units of the encoders' feed-forward layers (paper: the width)", source=SOURCE)
    dropout: Dropout = param(0.0, "in encoders and attentions (paper: 0)", unit="probability", source=SOURCE)
    attentions: Literal["three", "six"] = param(
        "three", "weights of the six attentions: one set per query, used for both its sources, or six", source=SOURCE
    )
    readout: Literal["last", "mean"] = param(
        "last", "of the six tokens the last, as in the released code, or their mean", source=SOURCE
    )
    head: Literal["own", "shared"] = param(
        "own", "the paper's regressor with one output per class, or the classifier of all methods", source=SOURCE
    )
    head_width: Width = param(128, "hidden units of the paper's regressor", source=SOURCE)
    ccc: Weight = param(0.0, "weight of 1 - CCC of valence and activation", source=SOURCE, losses=["ccc"])


class Jmt(Fusion):
    """Stem -> segments -> three encoders -> six cross-attentions -> transformer over the tokens -> head."""

    config_type: ClassVar[type[base.Config]] = Config
    takes: ClassVar[tuple[Modality, ...]] = ("audio", "video")
    losses: ClassVar[Mapping[str, str]] = {"ccc": "ccc"}
    explained: Mapping[str, Sequence[str]] = {"tokens": [f"{query} from {source}" for query, source in TOKENS]}

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, config, weights=weights)
        width, heads, dropout = config.width, config.heads, chance(config.dropout)
        check_heads(width, heads, "jmt")
        self.config = config
        attention = partial(nn.MultiheadAttention, width, heads, dropout, batch_first=True)
        layer = partial(nn.TransformerEncoderLayer, width, heads, config.feedforward, dropout, batch_first=True)
        self.join = nn.Linear(2 * width, width)
        self.streams = nn.ModuleDict({stream: layer() for stream in STREAMS})
        names = dict.fromkeys(self._weights_of(*token) for token in TOKENS)
        self.attentions = nn.ModuleDict({name: attention() for name in names})
        self.final, self.weigh = layer(), attention()
        self.read_classes = nn.Linear(len(AFFECT), len(classes)) if "ccc" in weights else None
        if self.read_classes is not None:
            self.head = self._regressor(len(AFFECT))
        else:
            self.head = self._regressor(len(classes)) if config.head == "own" else classifier(width, classes, config)

    def _weights_of(self, query: str, source: str) -> str:
        """Return the name of the weights of a cross-attention."""
        return query if self.config.attentions == "three" else f"{query}_{source}"

    def _regressor(self, outputs: int) -> nn.Sequential:
        config = self.config
        return nn.Sequential(
            nn.Dropout(chance(config.head_dropout)),
            nn.Linear(config.width, config.head_width),
            nn.ReLU(),
            nn.Linear(config.head_width, outputs),
        )

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; `explain` has how much of each token the read one takes, averaged over the segments."""
        encoded, stemmed = self.stemmed(inputs)
        streams = {modality: segments(steps, self.config.segments).values_BTD for modality, steps in stemmed.items()}
        fused_BD, weight_BK = self.fuse(streams["audio"], streams["video"])
        explain, given_BC = {"tokens": weight_BK}, self.head(fused_BD)
        if self.read_classes is None:
            return Outputs(logits_BC=given_BC, encoded=encoded, explain=explain)
        logits_BC = self.read_classes(given_BC.detach())
        return Outputs(logits_BC=logits_BC, encoded=encoded, explain=explain, affect_BE=given_BC)

    def fuse(self, audio_BTD: Tensor, video_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fused vector [B, D] and the weights of the six tokens, [B, K]."""
        if self.config.normalise:
            audio_BTD, video_BTD = F.normalize(audio_BTD, dim=2), F.normalize(video_BTD, dim=2)
        joint_BTD = self.join(torch.cat([video_BTD, audio_BTD], dim=2))
        given = {"video": video_BTD, "audio": audio_BTD, "joint": joint_BTD}
        streams = {name: self.streams[name](values_BTD) for name, values_BTD in given.items()}
        tokens = [
            self.attentions[self._weights_of(query, source)](
                streams[query], streams[source], streams[source], need_weights=False
            )[0]
            for query, source in TOKENS
        ]
        tokens_XKD = self.final(torch.stack(tokens, dim=2).flatten(0, 1))
        mixed_XKD, weight_XKK = self.weigh(tokens_XKD, tokens_XKD, tokens_XKD)
        fused_BD, weight_BK = (self._read(each, len(audio_BTD)) for each in (mixed_XKD, weight_XKK))
        return fused_BD, weight_BK

    def _read(self, tokens_XKD: Tensor, size: int) -> Tensor:
        """Return the token that is read, or the mean of all, averaged over the segments, [B, D]."""
        read_XD = tokens_XKD[:, -1] if self.config.readout == "last" else tokens_XKD.mean(dim=1)
        return read_XD.unflatten(0, (size, -1)).mean(dim=1)
