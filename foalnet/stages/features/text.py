"""Encodes the spoken words with a frozen BERT or RoBERTa (Hugging Face's class), with equal numbers on all machines.

`minilm` gives the sentence vectors of all-MiniLM-L6-v2: the mean over tokens, of length 1. `roberta` gives the vector
of its first token, which reads the utterance between its neighbours (Kim and Vossen 2021, EmoBERTa, without its
fine-tuning). Shape letters: T tokens or 1, D numbers of a vector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from foalnet.config.blocks import TextFeatures
from foalnet.core.shim import exact_torch, torch_device
from foalnet.encoders import Pretrained, load_model, transformers_offline
from foalnet.shards import Sample

# Kind of encoder -> class of transformers, its config, first and separating token, separators between texts, and the
# tokens that it reads at most (of minilm as its authors publish it; longer texts are cut).
KINDS = {
    "minilm": ("BertModel", "BertConfig", "[CLS]", "[SEP]", 1, 256),
    "roberta": ("RobertaModel", "RobertaConfig", "<s>", "</s>", 2, 512),
}


class TextVectors:
    """The vectors of an encoder's last layer, for one utterance at a time: none depends on a batch."""

    def __init__(self, pretrained: Pretrained, *, kind: str, device: str) -> None:
        from tokenizers import Tokenizer

        model_class, config_class, first, separator, self._between, self._most = KINDS[kind]
        self._mean = kind == "minilm"
        self.device = torch_device(device)
        config = getattr(transformers_offline(), config_class).from_dict(dict(pretrained.config))
        # Eager attention: the fused kernels differ from machine to machine.
        config._attn_implementation = "eager"
        model = load_model(model_class, pretrained, config, add_pooling_layer=False)
        self.model: Any = model.to(self.device).eval().requires_grad_(False)
        self._tokenizer: Any = Tokenizer.from_str(json.dumps(dict(pretrained.preprocessor)))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._first, self._separator = (_number(self._tokenizer, token) for token in (first, separator))
        # RoBERTa counts positions from its padding token's number plus 1.
        self._most = min(self._most, int(config.max_position_embeddings) - (0 if kind == "minilm" else 2))
        self.dims = int(config.hidden_size)

    def encode(self, texts: Sequence[str], own: int, *, steps: str) -> np.ndarray:
        """Return [T, D] float32 for texts[own], read between the texts before and after it; T = 0 for no words."""
        import torch

        ids, start, end = self._ids(texts, own)
        if start == end:
            return np.zeros((0, self.dims), np.float32)
        with exact_torch(), torch.inference_mode():
            hidden_TD = self.model(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state[0].float()
            if steps == "tokens":
                vectors_TD = hidden_TD[start:end]
            elif self._mean:
                # Of an utterance alone the mean includes the special tokens, as its authors compute it.
                mean_D = (hidden_TD if len(texts) == 1 else hidden_TD[start:end]).mean(dim=0)
                vectors_TD = (mean_D / mean_D.norm().clamp(min=1e-9))[None]
            else:
                vectors_TD = hidden_TD[:1]
            return np.ascontiguousarray(vectors_TD.cpu().numpy())

    def cuts(self, text: str) -> bool:
        """Return whether a text alone is longer than the encoder reads."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids) > self._most - 2

    def _ids(self, texts: Sequence[str], own: int) -> tuple[list[int], int, int]:
        """Return token ids, and where the own tokens start and end; the neighbours are cut at their far ends."""
        pieces = [self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        special = 2 + self._between * (len(pieces) - 1)
        pieces[own] = pieces[own][: self._most - special]
        room = self._most - special - len(pieces[own])
        # The nearest neighbours first, in turn one before and one after.
        for place in sorted((p for p in range(len(pieces)) if p != own), key=lambda p: (abs(p - own), p > own)):
            kept = min(room, len(pieces[place]))
            pieces[place] = pieces[place][len(pieces[place]) - kept :] if place < own else pieces[place][:kept]
            room -= kept
        ids: list[int] = [self._first]
        start = 0
        for place, piece in enumerate(pieces):
            ids += [self._separator] * (self._between if place else 0)
            start = len(ids) if place == own else start
            ids += piece
        return [*ids, self._separator], start, start + len(pieces[own])


def _number(tokenizer: Any, token: str) -> int:
    return int(tokenizer.token_to_id(token))


def encode_dialogue(
    encoder: TextVectors, samples: Sequence[Sample], params: TextFeatures
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return key -> (vectors [T, D] float32, mask_T) of a dialogue's utterances; T = 0 for one without words."""
    ordered = sorted(samples, key=lambda sample: (sample.meta.turn, sample.key))
    texts = [sample.meta.text for sample in ordered]
    vectors = {}
    for place, sample in enumerate(ordered):
        before = max(0, place - params.context)
        near = texts[before : place + params.context + 1]
        rows_TD = encoder.encode(near, place - before, steps=params.steps)
        vectors[sample.key] = (rows_TD, np.ones(len(rows_TD), bool))
    return vectors
