"""Fusions turn two encoded sequences into one pooled vector; docs/add-a-fusion.md shows how to add one.

Shape letters: B utterances, D audio width, E video width, P = `width` of the fused vector.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from foalnet.config.blocks import Fusion as FusionParams
from foalnet.nets.attention import AttentionStack
from foalnet.nets.tensors import Fused, Steps


class Fusion(nn.Module):
    """The interface of a fusion; all fusions share the classifier, so that only the fusion differs.

    `width` is P. A fusion with `two_sided` True also returns one modality conditioned on the other (`audio_side`,
    `video_side`), which the task MEM needs.
    """

    width: int
    audio_width: int
    video_width: int
    two_sided = False

    def forward(self, audio: Steps, video: Steps) -> Fused:
        """Return the pooled vector; it depends on valid steps alone and is finite without a picture."""
        raise NotImplementedError

    def audio_side(self, audio: Steps, video: Steps) -> Tensor:
        """Return the audio conditioned on the video, [B, audio_width]."""
        raise NotImplementedError

    def video_side(self, audio: Steps, video: Steps) -> Tensor:
        """Return the video conditioned on the audio, [B, video_width]."""
        raise NotImplementedError


class CrossAttentionFusion(Fusion):
    """Foal-Net's fusion: audio attends to video, video to audio, both pooled and concatenated.

    Source: METHOD "Fusion" (N = 2 layers, 4 heads, dropout 0.1, no feed-forward sublayer).
    """

    two_sided = True

    def __init__(self, audio_width: int, video_width: int, params: FusionParams) -> None:
        super().__init__()
        stack = partial(
            AttentionStack,
            layers=params.layers,
            heads=params.heads,
            dropout=params.dropout,
            masking=params.masking,
        )
        self.a2v = stack(audio_width, video_width)
        self.v2a = stack(video_width, audio_width)
        self.audio_width, self.video_width = audio_width, video_width
        self.width = audio_width + video_width

    def audio_side(self, audio: Steps, video: Steps) -> Tensor:
        """Return a2v pooled over the audio's steps, [B, D]."""
        pooled_BD: Tensor = self.a2v(audio, video)
        return pooled_BD

    def video_side(self, audio: Steps, video: Steps) -> Tensor:
        """Return v2a pooled over the video's steps, [B, E]; zeros without a picture."""
        pooled_BE: Tensor = self.v2a(video, audio)
        return pooled_BE

    def forward(self, audio: Steps, video: Steps) -> Fused:
        """Return [a2v, v2a], [B, D + E], and both sides."""
        audio_BD, video_BE = self.audio_side(audio, video), self.video_side(audio, video)
        return Fused(pooled_BP=torch.cat([audio_BD, video_BE], dim=1), audio_BD=audio_BD, video_BD=video_BE)
