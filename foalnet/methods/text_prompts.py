"""Label prompts guide the fusion: the one idea of From Text to Pixels (arXiv 2401.00421) that carries over.

That paper fuses infrared and visible images, has no class labels and no emotion system; nothing here is its network.
The idea: a sentence decides what a fusion attends to. Here a sentence for each class ("a person who is angry") passes a
text tower and attends to the steps of every modality; the modalities are weighted by their similarity to it, and the
similarity of the sentence to the result is the logit of its class. All of it is our interpretation. The tower is a
table of hashed words, trained here: it needs no published weights, and knows nothing that only those would know.
Shape letters: B utterances, T steps, D width, M modalities, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Count, Dropout
from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Fusion, FusionConfig, param
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.hashed import NONE, mean_of_pieces, pieces_of
from foalnet.nets.heads import check_heads
from foalnet.nets.tensors import Inputs, Outputs, Steps

PLACE = "{}"


class Config(FusionConfig):
    """The params of the label prompts."""

    prompt: Annotated[str, Field(pattern=r"\{\}")] = param(
        f"a person who is {PLACE}", f"the sentence of a class; {PLACE} is its name"
    )
    rows: Count = param(1024, "rows of the table of hashed words")
    heads: Annotated[int, Field(ge=1, le=64)] = param(4, "attention heads")
    dropout: Dropout = param(0.1, "in the attentions", unit="probability")
    scale: Annotated[float, Field(gt=0, le=100)] = param(10.0, "factor of the similarities, where it starts to learn")


class TextPrompts(Fusion):
    """Stem -> prompts attend to each modality -> weights of the modalities per class -> similarities."""

    config_type: ClassVar[type[base.Config]] = Config

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
        check_heads(width, config.heads, "text_prompts")
        self.explained = {"modalities": self.inputs}
        sentences = [pieces_of(config.prompt.replace(PLACE, name.replace("_", " "))) for name in classes]
        self.words_CTP: Tensor
        self.register_buffer(
            "words_CTP",
            nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in sentences], True, NONE),
            persistent=False,
        )
        self.table = nn.Embedding(config.rows, width)
        self.tower = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
        self.attentions = nn.ModuleDict(
            {
                modality: nn.MultiheadAttention(width, config.heads, chance(config.dropout), batch_first=True)
                for modality in encoders
            }
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(chance(config.head_dropout))
        self.scale = nn.Parameter(torch.tensor(config.scale))

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; explain: `modalities`, the weight of each, averaged over the classes' prompts."""
        encoded, stemmed = self.stemmed(inputs)
        logits_BC, weight_BM = self.fuse(self.prompts(), stemmed)
        return Outputs(logits_BC=logits_BC, encoded=encoded, explain={"modalities": weight_BM})

    def prompts(self) -> Tensor:
        """Return the vector of each class' sentence, [C, D]: the mean of its words through the tower."""
        there_CT = (self.words_CTP != NONE).any(dim=2)
        words_CTD = mean_of_pieces(self.table, Steps(values_BTD=self.words_CTP, mask_BT=there_CT))
        vectors_CD: Tensor = self.tower(words_CTD.sum(dim=1) / there_CT.sum(dim=1, keepdim=True).clamp(min=1))
        return vectors_CD

    def fuse(self, prompt_CD: Tensor, stemmed: Mapping[Modality, Steps]) -> tuple[Tensor, Tensor]:
        """Return the logits [B, C] and the modalities' weights [B, M], averaged over the prompts."""
        size = len(next(iter(stemmed.values())).mask_BT)
        prompt_BCD = prompt_CD.expand(size, -1, -1)
        answers_MBCD = torch.stack(
            [
                self.attentions[modality](
                    prompt_BCD, steps.values_BTD, steps.values_BTD, key_padding_mask=~steps.mask_BT, need_weights=False
                )[0]
                for modality, steps in stemmed.items()
            ]
        )
        answers_MBCD = self.norm(answers_MBCD)
        weight_MBC = F.cosine_similarity(answers_MBCD, prompt_BCD, dim=3).softmax(dim=0)
        fused_BCD = self.dropout((weight_MBC[..., None] * answers_MBCD).sum(dim=0))
        return self.scale * F.cosine_similarity(fused_BCD, prompt_BCD, dim=2), weight_MBC.mean(dim=2).T
