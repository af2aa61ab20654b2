"""The text encoder of GBAN (Liu, Li, Meng, Interspeech 2020): word vectors, three convolutions, a BiLSTM.

Exact: vectors of 300 numbers that training changes; parallel convolutions of kernel 2, 3 and 4 with ReLU and max-pool
2, side by side; a BiLSTM. At `width: 256` they have the paper's 128 filters each, 384 together, and 128 units in each
direction. Our interpretation: the paper starts from GloVe 840B, which is not at hand; in its place stands the hashed
table of words and letter triples, which starts at random (foalnet/nets/hashed.py). Dropout on the output is ours.

Shape letters: B utterances, T words, then pairs of words, E width of the word vectors, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from foalnet.config.blocks import TextEncoder
from foalnet.nets.bilstm import BiLstm
from foalnet.nets.encoder import Encoder, InputShape, chance
from foalnet.nets.hashed import mean_of_pieces, words_alone
from foalnet.nets.masks import strided, zero_masked
from foalnet.nets.tensors import Inputs, Steps

VECTOR, KERNELS, POOL = 300, (2, 3, 4), 2


class GbanText(Encoder):
    """One step for two words."""

    def __init__(self, params: TextEncoder, shape: InputShape) -> None:
        super().__init__()
        words_alone(shape, "gban")
        self.width = params.width
        filters = max(1, params.width // 2)
        self.table = nn.Embedding(params.rows, VECTOR)
        self.convs = nn.ModuleList(nn.Conv1d(VECTOR, filters, kernel) for kernel in KERNELS)
        self.lstm = BiLstm(len(KERNELS) * filters, params.width, param="train.text.width")
        self.dropout = nn.Dropout(chance(params.dropout))

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT; a last single word is a step of its own."""
        words = inputs.raw["text"]
        x_BET = mean_of_pieces(self.table, words).transpose(1, 2)
        padded = (F.pad(x_BET, ((kernel - 1) // 2, kernel // 2)) for kernel in KERNELS)
        x_BTD = torch.cat([F.relu(conv(x)) for conv, x in zip(self.convs, padded, strict=True)], dim=1).transpose(1, 2)
        # No value is below 0, so that a masked word never wins a maximum.
        x_BTD = zero_masked(x_BTD, words.mask_BT)
        pooled_BTD = F.max_pool1d(x_BTD.transpose(1, 2), POOL, ceil_mode=True).transpose(1, 2)
        read = self.lstm(Steps(values_BTD=pooled_BTD, mask_BT=strided(words.mask_BT, POOL)))
        return Steps(values_BTD=self.dropout(read.values_BTD), mask_BT=read.mask_BT)
