"""Foal-Net and its ablations: two encoders, a fusion, a classifier; the projections of AVEL and the heads of MEM.

Source: METHOD; params say which of its two readings. Shape letters: B utterances, T audio steps, F frames, D and E
widths, C classes, P fused width.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from foalnet.config.blocks import Train
from foalnet.core.errors import UsageError
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.fusion import Fusion
from foalnet.nets.masks import masked_mean
from foalnet.nets.project import Projection, unit
from foalnet.nets.tensors import Encoded, Fused, Inputs, MatchLogits, Negatives, Outputs
from foalnet.nets.variants import Tasks

# exp(s) starts at 1 / 0.07, METHOD's corrected temperature; the released code divides by the logarithm itself.
LOG_SCALE_START = math.log(1 / 0.07)


class FoalNet(nn.Module):
    """Encodes, fuses and classifies both modalities without labels; `match` computes MEM's logits for pairs."""

    def __init__(
        self, audio: Encoder, video: Encoder, fusion: Fusion, *, tasks: Tasks, classes: int, params: Train
    ) -> None:
        super().__init__()
        if tasks.mem and not fusion.two_sided:
            raise UsageError(
                f"fusion {params.fusion.kind} has no two sides to match, so it cannot be trained with MEM",
                action="train variant baseline or avel with it, or set train.fusion.kind: cross_attention",
            )
        self.audio, self.video, self.fusion = audio, video, fusion
        self.tasks = tasks
        self.max_log_scale = math.log(params.objective.max_scale)
        self.divides = params.objective.temperature == "divisor"
        self.twice = params.objective.matched_pass == "twice"  # noqa: S105
        self.head = nn.Sequential(nn.Dropout(chance(params.fusion.head_dropout)), nn.Linear(fusion.width, classes))
        if tasks.projects:
            width, dropout = params.fusion.project, params.fusion.project_dropout
            self.audio_projection = Projection(audio.width, width, dropout=dropout)
            self.video_projection = Projection(video.width, width, dropout=dropout)
            # One learnable number: the divisor itself, or the logarithm of the factor.
            if self.divides:
                self.temperature = nn.Parameter(torch.tensor(LOG_SCALE_START))
            else:
                self.log_scale = nn.Parameter(torch.tensor(min(LOG_SCALE_START, self.max_log_scale)))
            if not tasks.avel:
                # Only AVEL trains the projections; without it they rank hard negatives with their initial weights.
                for part in (self.audio_projection, self.video_projection):
                    part.requires_grad_(False)
                (self.temperature if self.divides else self.log_scale).requires_grad_(False)
        if tasks.mem:
            self.audio_match = nn.Linear(fusion.audio_width, 2)
            self.video_match = nn.Linear(fusion.video_width, 2)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC and all other inputs of the losses, from each utterance's own pair alone."""
        encoded = Encoded(audio=self.audio(inputs), video=self.video(inputs))
        assert encoded.audio is not None and encoded.video is not None
        fused: Fused = self.fusion(encoded.audio, encoded.video)
        audio_BE = video_BE = scale = None
        if self.tasks.projects:
            audio_BE = unit(self.audio_projection(masked_mean(encoded.audio.values_BTD, encoded.audio.mask_BT)))
            video_BE = unit(self.video_projection(masked_mean(encoded.video.values_BTD, encoded.video.mask_BT)))
            if self.divides:
                scale = self.temperature.reciprocal()
            else:
                scale = self.log_scale.clamp(max=self.max_log_scale).exp()
        return Outputs(
            logits_BC=self.head(fused.pooled_BP),
            encoded=encoded,
            fused=fused,
            audio_BE=audio_BE,
            video_BE=video_BE,
            scale=scale,
            video_present_B=encoded.video.present_B,
        )

    def match(self, outputs: Outputs, negatives: Negatives) -> MatchLogits:
        """Return for each own pair and each pair with a negative the logits of "same emotion".

        The own pairs are those of `forward`, or a second pass with its own dropout (`matched_pass: twice`).
        """
        audio, video = outputs.encoded.audio, outputs.encoded.video
        assert audio is not None and video is not None
        own = self.fusion(audio, video) if self.twice else outputs.fused
        assert own.audio_BD is not None and own.video_BD is not None
        return MatchLogits(
            audio_matched_B2=self.audio_match(own.audio_BD),
            audio_negative_B2=self.audio_match(self.fusion.audio_side(audio, negatives.video)),
            video_matched_B2=self.video_match(own.video_BD),
            video_negative_B2=self.video_match(self.fusion.video_side(negatives.audio, video)),
        )

    @torch.no_grad()
    def clamp_(self) -> None:
        """Limit the logit scale to its maximum after a step, so that it can decrease again."""
        if self.tasks.projects and not self.divides:
            self.log_scale.clamp_(max=self.max_log_scale)


class SingleNet(nn.Module):
    """One modality: masked mean over time -> Projection -> classifier (METHOD, `audio_only`, `video_only`)."""

    def __init__(self, encoder: Encoder, *, tasks: Tasks, classes: int, params: Train) -> None:
        super().__init__()
        self.encoder, self.tasks = encoder, tasks
        self.projection = Projection(encoder.width, params.fusion.project, dropout=params.fusion.project_dropout)
        self.head = nn.Sequential(
            nn.Dropout(chance(params.fusion.head_dropout)), nn.Linear(params.fusion.project, classes)
        )

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC; all utterances without this modality get the same finite logits."""
        steps = self.encoder(inputs)
        pooled_BP = self.projection(masked_mean(steps.values_BTD, steps.mask_BT))
        encoded = Encoded(audio=steps if self.tasks.audio else None, video=steps if self.tasks.video else None)
        return Outputs(logits_BC=self.head(pooled_BP), encoded=encoded, fused=Fused(pooled_BP=pooled_BP))

    def clamp_(self) -> None:
        """Do nothing: no parameter of this network has a limit."""
