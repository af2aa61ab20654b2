"""Foal-Net and its ablations (Li et al., Interspeech 2024, doi 10.21437/Interspeech.2024-1462).

Two encoders, fusion by cross-attention, a classifier; AVEL aligns the modalities before the fusion, MEM matches
emotions across them. Source: docs/method.md; the params choose its released or its corrected version. `baseline` is
this network without AVEL and MEM.
Shape letters: B utterances, T audio steps, F frames, D and E widths, C classes, P projection, V views of a pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality, Weight
from foalnet.methods import base
from foalnet.methods.base import Losses, Method, OwnTask, classifier, param
from foalnet.nets.attention import AttentionStack, Masking
from foalnet.nets.encoder import Encoder
from foalnet.nets.gather import share
from foalnet.nets.losses.avel import Positives, avel
from foalnet.nets.losses.mem import MATCHED, NOT_MATCHED, mem
from foalnet.nets.losses.pairs import Negatives, Pairs, draw, negatives_of, pairs_of
from foalnet.nets.masks import masked_mean
from foalnet.nets.project import Projection, unit
from foalnet.nets.tensors import Encoded, Inputs, MatchLogits, Outputs, Steps

# The sources of the params, as docs/params.md prints them.
FUSION_SOURCE = "paper, fusion by cross-attention"
AVEL_SOURCE = "paper, task 1: audio-video emotion alignment (AVEL)"
MEM_SOURCE = "paper, task 2: cross-modal emotion label matching (MEM)"
OBJECTIVE_SOURCE = "paper, objective"
PAIRS = ("avel", "mem")
# Loss -> the task that it teaches.
OWN_TASKS: Mapping[str, OwnTask] = {"avel": "retrieval", "mem": "matching"}
# exp(s) starts at 1 / 0.07, the corrected version's temperature; the released code divides by the logarithm itself.
LOG_SCALE_START = math.log(1 / 0.07)


class Config(base.Config):
    """The params of Foal-Net: L = L_ce + alpha L_avel + beta L_mem."""

    layers: Annotated[int, Field(ge=1, le=64)] = param(
        2, "cross-attention layers in each direction (paper: 2)", source=FUSION_SOURCE
    )
    heads: Annotated[int, Field(ge=1, le=64)] = param(4, "attention heads (paper: 4)", source=FUSION_SOURCE)
    dropout: Dropout = param(
        0.1, "on the output of each attention layer (paper: 0.1)", unit="probability", source=FUSION_SOURCE
    )
    masking: Masking = param(
        "exact", "scores of padded keys: excluded, or replaced by -10000 as in the released code", source=FUSION_SOURCE
    )
    project: Width = param(128, "width of the AVEL projection (512 in the paper)", source=AVEL_SOURCE, losses=PAIRS)
    project_dropout: Dropout = param(
        0.5, "dropout inside the projection", unit="probability", source=AVEL_SOURCE, losses=PAIRS
    )
    alpha: Weight = param(1.0, "weight of the AVEL loss", unit="factor", source=OBJECTIVE_SOURCE, losses=["avel"])
    beta: Weight = param(0.1, "weight of the MEM loss", unit="factor", source=OBJECTIVE_SOURCE, losses=["mem"])
    max_scale: Annotated[float, Field(ge=1.0, le=1e6)] = param(
        100.0, "the AVEL logit scale is clamped to it", unit="factor", source=AVEL_SOURCE, losses=PAIRS
    )
    temperature: Literal["scale", "divisor"] = param(
        "scale",
        "similarities times exp(s), or divided by a learnable scalar; both start at ln(1/0.07)",
        source=AVEL_SOURCE,
        losses=PAIRS,
    )
    positives: Positives = param(
        "mean", "how a row's positives are combined in the AVEL loss", source=AVEL_SOURCE, losses=["avel"]
    )
    gather_grad: bool = param(
        True, "several processes: gathered embeddings carry their gradient", source=AVEL_SOURCE, losses=PAIRS
    )
    no_negative: Literal["leave_out", "positives"] = param(
        "leave_out",
        "a batch of one class: its pairs are excluded and counted, or positives are drawn",
        source=MEM_SOURCE,
        losses=["mem"],
    )
    negatives: Negatives = param(
        "similarity",
        "how the foreign picture or sound of a pair is drawn: by AVEL's similarity, or uniformly",
        source=MEM_SOURCE,
        losses=["mem"],
    )
    match_head: Literal["linear", "mlp"] = param(
        "linear",
        "MEM's classifier of a pair: one linear layer, or with a hidden layer of twice the width",
        source=MEM_SOURCE,
        losses=["mem"],
    )
    matched_pass: Literal["shared", "twice"] = param(
        "shared",
        "MEM reuses the classifier's pass over a matched pair, or runs its own with other dropout",
        source=MEM_SOURCE,
        losses=["mem"],
    )


@dataclass(frozen=True, kw_only=True)
class FoalOutputs(Outputs):
    """The logits, and what AVEL and MEM need.

    `audio_BD`, `video_BE`: each modality conditioned on the other; `audio_BP`, `video_BP`: unit-norm projections, and
    `scale` AVEL's logit scale (scalar), None if the variant has neither AVEL nor MEM.
    """

    audio_BD: Tensor
    video_BE: Tensor
    audio_BP: Tensor | None = None
    video_BP: Tensor | None = None
    scale: Tensor | None = None


class CrossAttention(nn.Module):
    """Audio attends to video, video to audio, both pooled (docs/method.md, fusion: no feed-forward sublayer)."""

    def __init__(self, audio_width: int, video_width: int, config: Config) -> None:
        super().__init__()
        stack = partial(
            AttentionStack,
            layers=config.layers,
            heads=config.heads,
            dropout=config.dropout,
            masking=config.masking,
        )
        self.a2v = stack(audio_width, video_width)
        self.v2a = stack(video_width, audio_width)

    def forward(self, audio: Steps, video: Steps) -> tuple[Tensor, Tensor]:
        """Return a2v pooled over the audio's steps, [B, D], and v2a over the video's, [B, E]: zeros without a picture.

        Both depend on valid steps alone.
        """
        return self.a2v(audio, video), self.v2a(video, audio)


def match_head(width: int, kind: str) -> nn.Module:
    """Return MEM's classifier of a pooled pair, [B, width] to [B, 2]."""
    if kind == "linear":
        return nn.Linear(width, 2)
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 2))


class FoalNet(Method):
    """Encodes, fuses and classifies both modalities; AVEL and MEM are its own losses."""

    config_type: ClassVar[type[base.Config]] = Config
    takes: ClassVar[tuple[Modality, ...]] = ("audio", "video")
    fewest: ClassVar[int] = 2
    losses: ClassVar[Mapping[str, str]] = {"avel": "alpha", "mem": "beta"}
    counts: ClassVar[tuple[str, ...]] = ("pairs_without_negative", "pairs_without_video")

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: Config,
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
    ) -> None:
        super().__init__(encoders, weights=weights)
        audio, video = encoders["audio"], encoders["video"]
        self.config = config
        self.fusion = CrossAttention(audio.width, video.width, config)
        self.max_log_scale = math.log(config.max_scale)
        self.divides = config.temperature == "divisor"
        self.head = classifier(audio.width + video.width, classes, config)
        # Only AVEL trains the projections; in MEM alone they rank hard negatives with their initial weights.
        self.projects = bool(weights)
        self.own_tasks = tuple(OWN_TASKS[name] for name in weights)
        if self.projects:
            self._add_projections(audio, video, learn="avel" in weights)
        if "mem" in weights:
            self.audio_match = match_head(audio.width, config.match_head)
            self.video_match = match_head(video.width, config.match_head)

    def _add_projections(self, audio: Encoder, video: Encoder, *, learn: bool) -> None:
        width, dropout = self.config.project, self.config.project_dropout
        self.audio_projection = Projection(audio.width, width, dropout=dropout)
        self.video_projection = Projection(video.width, width, dropout=dropout)
        # One learnable number: the divisor itself, or the logarithm of the factor.
        if self.divides:
            number = self.temperature = nn.Parameter(torch.tensor(LOG_SCALE_START))
        else:
            number = self.log_scale = nn.Parameter(torch.tensor(min(LOG_SCALE_START, self.max_log_scale)))
        if not learn:
            self.audio_projection.requires_grad_(False)
            self.video_projection.requires_grad_(False)
            number.requires_grad_(False)

    def forward(self, inputs: Inputs) -> FoalOutputs:
        """Return logits_BC and all other inputs of the losses, from each utterance's own pair alone."""
        encoded = self.encode(inputs)
        audio, video = encoded["audio"], encoded["video"]
        audio_BD, video_BE = self.fusion(audio, video)
        audio_BP = video_BP = scale = None
        if self.projects:
            audio_BP = unit(self.audio_projection(masked_mean(audio.values_BTD, audio.mask_BT)))
            video_BP = unit(self.video_projection(masked_mean(video.values_BTD, video.mask_BT)))
            if self.divides:
                scale = self.temperature.reciprocal()
            else:
                scale = self.log_scale.clamp(max=self.max_log_scale).exp()
        return FoalOutputs(
            logits_BC=self.head(torch.cat([audio_BD, video_BE], dim=1)),
            encoded=encoded,
            audio_BD=audio_BD,
            video_BE=video_BE,
            audio_BP=audio_BP,
            video_BP=video_BP,
            scale=scale,
        )

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:
        """Return AVEL and MEM, those that are on; rows without a picture take no part, and are counted."""
        assert isinstance(outputs, FoalOutputs)
        if outputs.audio_BP is None or outputs.video_BP is None or outputs.scale is None:
            return Losses(losses={}, counts={})
        pairs = pairs_of(
            outputs.audio_BP,
            outputs.video_BP,
            outputs.scale,
            outputs.encoded["video"].present_B,
            label_B,
            gather_grad=self.config.gather_grad,
        )
        losses, counts = {}, {"pairs_without_video": len(label_B) - len(pairs.row_K), "pairs_without_negative": 0}
        if "avel" in self.weights:
            label_K = label_B[pairs.row_K]
            mean = avel(pairs.audio_KG, pairs.video_KG, label_K, pairs.label_G, self.config.positives)
            losses["avel"] = share(mean, len(label_K))
        if "mem" in self.weights:
            losses["mem"], counts["pairs_without_negative"] = self._mem(outputs, pairs)
        return Losses(losses=losses, counts=counts)

    def _mem(self, outputs: FoalOutputs, pairs: Pairs) -> tuple[Tensor, int]:
        """Return MEM's loss and the number of this process' pairs (both directions) without a negative."""
        config = self.config
        drawn = draw(pairs, config.no_negative, config.negatives)
        negatives, audio_drawn_B, video_drawn_B = negatives_of(
            outputs.encoded, pairs, drawn, gather_grad=config.gather_grad
        )
        audio, video = mem(self.match(outputs, negatives), audio_drawn_B, video_drawn_B)
        counts = [int(drawn_B.sum()) for drawn_B in (audio_drawn_B, video_drawn_B)]
        return (share(audio, counts[0]) + share(video, counts[1])) / 2, 2 * len(pairs.row_K) - sum(counts)

    def match(self, outputs: FoalOutputs, negatives: Encoded) -> MatchLogits:
        """Return for each own pair and each pair with a negative the logits of "same emotion".

        `negatives`: for each utterance's audio a video of another emotion, for each video an audio. The own pairs are
        those of `forward`, or a second pass with its own dropout (`matched_pass: twice`).
        """
        audio, video = outputs.encoded["audio"], outputs.encoded["video"]
        own = (outputs.audio_BD, outputs.video_BE)
        if self.config.matched_pass == "twice":  # noqa: S105
            own = self.fusion(audio, video)
        return MatchLogits(
            audio_matched_B2=self.audio_match(own[0]),
            audio_negative_B2=self.audio_match(self.fusion.a2v(audio, negatives["video"])),
            video_matched_B2=self.video_match(own[1]),
            video_negative_B2=self.video_match(self.fusion.v2a(video, negatives["audio"])),
        )

    def aligned(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Return the projections audio_BP and video_BP."""
        assert isinstance(outputs, FoalOutputs)
        assert outputs.audio_BP is not None
        assert outputs.video_BP is not None
        return outputs.audio_BP, outputs.video_BP

    def matched(self, audio: Steps, video: Steps) -> Tensor:
        """Return MEM's logit of "same emotion" less that of "another", [B, 2]: the sound as query, the picture."""
        audio_BD, video_BE = self.fusion(audio, video)
        logits_BV2 = torch.stack([self.audio_match(audio_BD), self.video_match(video_BE)], dim=1)
        return logits_BV2[..., MATCHED] - logits_BV2[..., NOT_MATCHED]

    @torch.no_grad()
    def clamp_(self) -> None:
        """Limit the logit scale to its maximum after a step, so that it can decrease again."""
        if self.projects and not self.divides:
            self.log_scale.clamp_(max=self.max_log_scale)
