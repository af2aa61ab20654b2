"""An encoder of words that needs no file: a word is the mean of the vectors of itself and of its letter triples.

The vectors are the rows of one table, which a word or triple finds by its hash (Bojanowski et al. 2017, fastText).
Shape letters: B utterances, T words, P pieces of a word, D width.
"""

from __future__ import annotations

import re
import unicodedata
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import TextEncoder
from foalnet.core.errors import UsageError
from foalnet.nets.encoder import Encoder, InputShape, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

# Of a word's pieces the first so many are used: those of a word of 22 letters.
PIECES = 23
NONE = -1
WORD = re.compile(r"\w+(?:'\w+)*|[?!.,…-]")


def pieces_of(text: str) -> np.ndarray:
    """Return the hashes of the pieces of each word and punctuation mark, int64 [T, P]; NONE fills up.

    >>> pieces_of("Go home!").shape
    (3, 23)
    """
    # One form of each letter and of the apostrophe, whatever program wrote the text.
    words = WORD.findall(unicodedata.normalize("NFC", text.casefold()).replace("’", "'"))
    hashes = np.full((len(words), PIECES), NONE, np.int64)
    for row, word in enumerate(words):
        framed = f"<{word}>"
        pieces = [framed, *(framed[i : i + 3] for i in range(len(framed) - 2))][:PIECES]
        hashes[row, : len(pieces)] = [zlib.crc32(piece.encode()) for piece in pieces]
    return hashes


def words_alone(shape: InputShape, name: str) -> None:
    """Raise UsageError (exit 2) if the text is not words, which the encoder `name` reads, but vectors."""
    if shape.text is not None:
        raise UsageError(
            f"train.text.encoder: {name} reads the words themselves, and features.text.encoder gives it vectors",
            action="set features.text.encoder to null, or train.text.encoder to mlp",
        )


def mean_of_pieces(table: nn.Embedding, words: Steps) -> Tensor:
    """Return the mean of the vectors of each word's pieces, [B, T, D]; 0 where no word is."""
    there_BTP = (words.values_BTD != NONE) & words.mask_BT[:, :, None]
    vectors_BTPD = table(torch.where(there_BTP, words.values_BTD, 0) % table.num_embeddings)
    count_BT1 = there_BTP.sum(dim=2, keepdim=True).clamp(min=1)
    mean_BTD: Tensor = (vectors_BTPD * there_BTP[..., None]).sum(dim=2) / count_BT1
    return mean_BTD


class Hashed(Encoder):
    """Mean of the pieces' vectors, then one hidden layer per word."""

    def __init__(self, params: TextEncoder, shape: InputShape) -> None:
        super().__init__()
        words_alone(shape, "hashed")
        self.width = params.width
        self.table = nn.Embedding(params.rows, params.width)
        self.hidden = nn.Linear(params.width, params.width)
        self.norm = nn.LayerNorm(params.width)
        self.dropout = nn.Dropout(chance(params.dropout))

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and the mask of the words."""
        words = inputs.raw["text"]
        mean_BTD = mean_of_pieces(self.table, words)
        values_BTD = self.norm(mean_BTD + F.gelu(self.hidden(self.dropout(mean_BTD))))
        return Steps(values_BTD=zero_masked(self.dropout(values_BTD), words.mask_BT), mask_BT=words.mask_BT)
