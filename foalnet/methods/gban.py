"""GBAN, group gated fusion of bidirectionally aligned modalities (Liu, Li, Meng, Interspeech 2020, arXiv 2201.06309).

Two sequences s and t, in the paper of speech and transcript, each the output of a BiLSTM. Each is aligned to the steps
of the other by attention and averaged (a_s, a_t); h_s and h_t are its last states. Two gates mix the four:
h = z_p tanh(W1 a_s) + (1 - z_p) tanh(W2 a_t) + z_q tanh(W3 h_s) + (1 - z_q) tanh(W4 h_t), with
z_p = sigmoid(W_p [a_s; a_t]), z_q = sigmoid(W_q [h_s; h_t]), no bias; then a layer with ReLU and the classifier.

Exact: alignment, gates, head; with `sequences: encoders` and the encoders `gban` of sound and text, which end in the
BiLSTM, the whole network but GloVe. Our interpretation: masks, where the paper fills all utterances to one length; the
stem before the BiLSTM (`sequences: own`), which makes s and t of any encoders; dropout on what the gates read.
Shape letters: B utterances, K steps of s, L steps of t, D width, G width of the gates, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.core.errors import UsageError
from foalnet.methods import base
from foalnet.methods.base import Fusion, classifier, param
from foalnet.nets.bilstm import BiLstm, final_states, last_step
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.tensors import Inputs, Outputs, Steps

SOURCE = "Liu et al. 2020, GBAN"
Score = Literal["tanh_dot", "additive", "scaled_dot"]


class Config(base.FusionConfig):
    """The params of GBAN."""

    sequences: Literal["own", "encoders"] = param(
        "own", "what is aligned: a BiLSTM over the stem's steps, or the steps of encoders that end in one, without stem"
    )
    score: Score = param(
        "tanh_dot", "alignment: tanh of the dot product (paper), additive (released code), scaled dot", source=SOURCE
    )
    last: Literal["final_states", "last_step"] = param(
        "final_states", "h: last state of each direction, or the last step of both (released code)", source=SOURCE
    )
    gate: Width = param(128, "width of the gates and of the layer after them (paper: 128)", source=SOURCE)
    dropout: Dropout = param(
        0.5, "on the four vectors that the gates read (released code: 0)", unit="probability", source=SOURCE
    )
    head: Literal["own", "shared"] = param(
        "own", "own: a layer with ReLU before the classifier; shared: the classifier alone", source=SOURCE
    )


class Alignment(nn.Module):
    """Attention from every step of one sequence to all of the other, averaged over the first, in both directions."""

    def __init__(self, width: int, score: Score) -> None:
        super().__init__()
        self.score = score
        if score == "additive":
            # One vector for each direction, as the released code has two layers.
            self.scales_2D = nn.Parameter(torch.empty(2, width))
            nn.init.xavier_uniform_(self.scales_2D)

    def forward(self, s: Steps, t: Steps) -> tuple[Tensor, Tensor]:
        """Return a_s and a_t, [B, D] each."""
        s_BKL, t_BKL = self.scores(s.values_BTD, t.values_BTD)
        return aligned(s_BKL, s, t.mask_BT), aligned(t_BKL.transpose(1, 2), t, s.mask_BT)

    def scores(self, s_BKD: Tensor, t_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of s for t and of t for s, [B, K, L] each."""
        if self.score == "additive":
            sum_BKLD = torch.tanh(s_BKD[:, :, None] + t_BLD[:, None])
            s_BKL, t_BKL = (sum_BKLD @ self.scales_2D.T).unbind(dim=3)
            return s_BKL, t_BKL
        dot_BKL = s_BKD @ t_BLD.transpose(1, 2)
        dot_BKL = dot_BKL.tanh() if self.score == "tanh_dot" else dot_BKL / math.sqrt(s_BKD.shape[2])
        return dot_BKL, dot_BKL


def aligned(scores_BKL: Tensor, steps: Steps, other_BL: Tensor) -> Tensor:
    """Return the mean over the other modality's valid steps of the attention over the valid `steps`, [B, D]."""
    lowest = torch.finfo(scores_BKL.dtype).min
    weights_BKL = scores_BKL.masked_fill(~steps.mask_BT[:, :, None], lowest).softmax(dim=1)
    # The mean of the weighted sums is the sum with the mean weights.
    mean_BK = (weights_BKL * other_BL[:, None]).sum(dim=2) / other_BL.sum(dim=1, keepdim=True).clamp(min=1)
    return (mean_BK[..., None] * steps.values_BTD).sum(dim=1)


class GatedFusion(nn.Module):
    """The group gated fusion: one gate for the aligned pair, one for the last states; no layer has a bias."""

    def __init__(self, width: int, gate: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(2 * width, gate, bias=False) for _ in range(2))
        self.layers = nn.ModuleList(nn.Linear(width, gate, bias=False) for _ in range(4))

    def forward(self, pairs: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return h [B, G], and the mean of each gate [B, 2], from (a_s, a_t) and (h_s, h_t)."""
        fused_BG: Tensor | float = 0.0
        means = []
        for number, (first_BD, second_BD) in enumerate(pairs):
            z_BG = self.gates[number](torch.cat([first_BD, second_BD], dim=1)).sigmoid()
            first_BG, second_BG = (
                self.layers[2 * number + place](x_BD).tanh() for place, x_BD in enumerate((first_BD, second_BD))
            )
            fused_BG = fused_BG + z_BG * first_BG + (1 - z_BG) * second_BG
            means.append(z_BG.mean(dim=1))
        return torch.as_tensor(fused_BG), torch.stack(means, dim=1)


class Gban(Fusion):
    """BiLSTM of both modalities -> alignment in both directions, last states -> gated fusion -> classifier."""

    config_type: ClassVar[type[base.Config]] = Config
    most: ClassVar[int] = 2

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
        # The order of the modalities is that of `takes`, whatever the variant's.
        self.pair = tuple(modality for modality in self.takes if modality in encoders)
        self.lstms = nn.ModuleDict()
        if config.sequences == "own":
            self.lstms.update({m: BiLstm(width, width, param="methods.gban.width") for m in self.pair})
        else:
            self._read_encoders(encoders, width)
        self.last = final_states if config.last == "final_states" else last_step
        self.alignment = Alignment(width, config.score)
        self.dropout = nn.Dropout(chance(config.dropout))
        self.fusion = GatedFusion(width, config.gate)
        self.explained = {"gates": ("aligned steps", "last states")}
        self.head = classifier(config.gate, classes, config)
        if config.head == "own":
            self.head = nn.Sequential(nn.Linear(config.gate, config.gate), nn.ReLU(), *self.head)

    def _read_encoders(self, encoders: Mapping[Modality, Encoder], width: int) -> None:
        """Replace the stem's layers by nothing: only its vector for a missing modality is left."""
        for modality, encoder in encoders.items():
            if encoder.width != width or width % 2:
                raise UsageError(
                    f"methods.gban.sequences: encoders needs an even width that all share, {width}, and that of "
                    f"{modality} is {encoder.width}",
                    action=f"set train.{modality}.width or methods.gban.width",
                )
            self.stem.layers[modality] = nn.Identity()

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; explain: `gates`, the mean of z_p and of z_q, that is the share of the first modality."""
        encoded, steps = self.stemmed(inputs)
        s, t = (self.lstms[m](steps[m]) if m in self.lstms else steps[m] for m in self.pair)
        a_BD, b_BD = self.alignment(s, t)
        aligned_pair = self.dropout(a_BD), self.dropout(b_BD)
        fused_BG, gates_B2 = self.fusion((aligned_pair, (self.dropout(self.last(s)), self.dropout(self.last(t)))))
        return Outputs(logits_BC=self.head(fused_BG), encoded=encoded, explain={"gates": gates_B2})
