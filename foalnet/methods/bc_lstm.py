"""The contextual LSTM over the turns of a dialogue, bc-LSTM (Poria et al., ACL 2017, doi 10.18653/v1/P17-1081).

The features of each utterance go through a bidirectional LSTM over the dialogue; a classifier reads each turn's output.
Of several modalities the features are joined before it, which is the paper's early fusion.
Shape letters: B utterances, S dialogues, T turns, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.methods import base
from foalnet.methods.base import Method, classifier, param
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.masks import masked_mean
from foalnet.nets.tensors import Inputs, Outputs

SOURCE = "Poria et al. 2017, contextual LSTM"


class Config(base.Config):
    """The params of bc-LSTM."""

    width: Width = param(128, "units of the LSTM in each direction, and of the layer before it", source=SOURCE)
    layers: Annotated[int, Field(ge=1, le=8)] = param(1, "layers of the LSTM", source=SOURCE)
    dropout: Dropout = param(0.3, "on what the LSTM reads and returns", unit="probability")
    reads: Literal["all", "past"] = param(
        "all", "turns that a turn's class may depend on: all of the dialogue, or itself and those before it"
    )


class BcLstm(Method):
    """Masked mean of each modality, joined -> linear, GELU -> LSTM over the turns -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    over_turns: ClassVar[bool] = True

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, weights=weights)
        both = config.reads == "all"
        self.join = nn.Sequential(
            nn.Linear(sum(encoder.width for encoder in encoders.values()), config.width),
            nn.GELU(),
            nn.Dropout(chance(config.dropout)),
        )
        self.lstm = nn.LSTM(config.width, config.width, config.layers, batch_first=True, bidirectional=both)
        self.dropout = nn.Dropout(chance(config.dropout))
        self.head = classifier(config.width * (2 if both else 1), classes, config)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC of all turns; a modality that an utterance lacks is zero."""
        assert inputs.turns is not None, "the batches of a method over turns hold dialogues"
        encoded = self.encode(inputs)
        joined_BD = torch.cat([masked_mean(steps.values_BTD, steps.mask_BT) for steps in encoded.values()], dim=1)
        turns_STD = inputs.turns.by_dialogue(self.join(joined_BD))
        lengths_S = inputs.turns.there_ST.sum(dim=1).cpu()
        packed = pack_padded_sequence(turns_STD, lengths_S, batch_first=True, enforce_sorted=False)
        read_STD, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=turns_STD.shape[1])
        return Outputs(logits_BC=self.head(self.dropout(inputs.turns.by_row(read_STD))), encoded=encoded)
