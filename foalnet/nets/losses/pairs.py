"""Selects the rows for tasks on pairs: those with a picture, of this process and of all that train together.

Shape letters: B rows of this process, K its rows with a picture, G rows with a picture of all processes (K = G in one),
E width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from foalnet.nets.gather import gather_rows, gather_steps, rank, ranks
from foalnet.nets.losses.avel import similarity
from foalnet.nets.losses.mem import hard_negatives, released_negatives
from foalnet.nets.tensors import Encoded

Negatives = Literal["similarity", "uniform"]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Similarities of a batch: `audio_KG` this process' audios against all videos, `video_KG` the other way round.

    `row_K` are rows of this process' batch, `row_G` of all processes' batches concatenated, in which this process'
    begin at `first`; `all_GG` is S over all rows, without gradient (audio by video).
    """

    audio_KG: Tensor
    video_KG: Tensor
    all_GG: Tensor
    label_G: Tensor
    row_K: Tensor
    row_G: Tensor
    first: int

    @property
    def own_K(self) -> Tensor:
        """Indices of this process' rows among the G."""
        return torch.searchsorted(self.row_G, self.row_K + self.first)


def pairs_of(
    audio_BE: Tensor, video_BE: Tensor, scale: Tensor, present_B: Tensor, label_B: Tensor, *, gather_grad: bool
) -> Pairs:
    """Return the similarities of a batch of unit vectors; `present_B` is True for each row with a picture.

    Parts gathered from other processes carry a gradient if `gather_grad` is set.
    """
    row_K = present_B.nonzero().squeeze(1)
    audio_KE, video_KE = audio_BE[row_K], video_BE[row_K]
    if ranks() == 1:
        sim_KK = similarity(audio_KE, video_KE, scale)
        return Pairs(
            audio_KG=sim_KK,
            video_KG=sim_KK.T,
            all_GG=sim_KK.detach(),
            label_G=label_B[row_K],
            row_K=row_K,
            row_G=row_K,
            first=0,
        )
    size_R = gather_rows(torch.tensor([len(label_B)], device=label_B.device)).tolist()
    audio_GE, video_GE = (gather_rows(x, grad=gather_grad) for x in (audio_KE, video_KE))
    return Pairs(
        audio_KG=similarity(audio_KE, video_GE, scale),
        video_KG=similarity(video_KE, audio_GE, scale),
        all_GG=similarity(audio_GE, video_GE, scale).detach(),
        label_G=gather_rows(label_B[row_K]),
        row_K=row_K,
        row_G=gather_rows(present_B).nonzero().squeeze(1),
        first=sum(size_R[: rank()]),
    )


def draw(
    pairs: Pairs, no_negative: Literal["leave_out", "positives"], negatives: Negatives = "similarity"
) -> list[tuple[Tensor, Tensor]]:
    """Draw a video for each audio, then an audio for each video: [(index_K into the G, drawn_K), …] of this process.

    `negatives`: by softmax of the similarities, or each of another label with the same probability. With
    `no_negative: leave_out` one process draws for all, so that N processes draw the same as one. As released, each
    process draws for its own rows.
    """
    drawn, own_K = [], pairs.own_K
    if negatives == "uniform":
        audio_KG, video_KG, all_GG = map(torch.zeros_like, (pairs.audio_KG, pairs.video_KG, pairs.all_GG))
        pairs = replace(pairs, audio_KG=audio_KG, video_KG=video_KG, all_GG=all_GG)
    for sim_KG, sim_GG in ((pairs.audio_KG, pairs.all_GG), (pairs.video_KG, pairs.all_GG.T)):
        if no_negative == "positives":
            index_K = released_negatives(sim_KG, pairs.label_G[own_K], pairs.label_G)
            drawn.append((index_K, torch.ones_like(index_K, dtype=torch.bool)))
            continue
        index_G, drawn_G = hard_negatives(sim_GG, pairs.label_G)
        if ranks() > 1:
            dist.broadcast(index_G, src=0)
        drawn.append((index_G[own_K], drawn_G[own_K]))
    return drawn


def negatives_of(
    encoded: Encoded, pairs: Pairs, drawn: list[tuple[Tensor, Tensor]], *, gather_grad: bool
) -> tuple[Encoded, Tensor, Tensor]:
    """Return the negatives of the B rows by modality, and for each direction which rows take part.

    `video`: for each utterance's audio a video of another emotion; `audio`: for each video an audio. A row that takes
    no part gets its own other modality in place of a negative.
    """
    mask_BT = encoded["audio"].mask_BT
    size, device = len(mask_BT), mask_BT.device
    rows, used = [], []
    for index_K, drawn_K in drawn:
        other_B = torch.arange(size, device=device) + pairs.first
        drawn_B = torch.zeros(size, dtype=torch.bool, device=device)
        other_B[pairs.row_K], drawn_B[pairs.row_K] = pairs.row_G[index_K], drawn_K
        rows.append(other_B)
        used.append(drawn_B)
    audio, video = (gather_steps(encoded[modality], grad=gather_grad) for modality in ("audio", "video"))
    return {"video": video.take(rows[0]), "audio": audio.take(rows[1])}, used[0], used[1]
