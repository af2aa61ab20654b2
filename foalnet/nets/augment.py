"""Augmentations of the input in training that keep its emotion; they draw from torch's global generator.

Shape letters: B utterances, T steps, M mel bands, V frames, H and W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Widest hidden stretch, as a share of bands or steps, after SpecAugment (Park et al., Interspeech 2019).
HIDDEN_SHARE = 1 / 6
# Largest shift of the bands: it imitates another vocal tract and pitch.
SHIFT_BANDS = 2
# Standardised features: deviation of the noise, and share of them that is hidden.
NOISE_SD, HIDDEN_FEATURES = 0.3, 0.3


def _stretch(batch: int, size: int, device: torch.device) -> Tensor:
    """Return [B, size] bool with one stretch per row, of random position and of a width up to HIDDEN_SHARE."""
    first_B1 = torch.randint(0, size, (batch, 1), device=device)
    width_B1 = torch.randint(0, max(1, round(size * HIDDEN_SHARE)) + 1, (batch, 1), device=device)
    place = torch.arange(size, device=device)
    return (place >= first_B1) & (place < first_B1 + width_B1)


def mask_bands_and_steps(x_BTM: Tensor) -> Tensor:
    """Set one stretch of bands and one of steps of each utterance to 0 (the mean, as the input is standardised)."""
    batch, steps, bands = x_BTM.shape
    hidden_BTM = _stretch(batch, bands, x_BTM.device)[:, None, :] | _stretch(batch, steps, x_BTM.device)[:, :, None]
    return x_BTM.masked_fill(hidden_BTM, 0.0)


def shift_bands(x_BTM: Tensor) -> Tensor:
    """Move each utterance's spectrum up or down by up to SHIFT_BANDS bands; the edge bands are repeated."""
    bands = x_BTM.shape[2]
    shift_B1 = torch.randint(-SHIFT_BANDS, SHIFT_BANDS + 1, (len(x_BTM), 1), device=x_BTM.device)
    source_BM = (torch.arange(bands, device=x_BTM.device) + shift_B1).clamp(0, bands - 1)
    return x_BTM.gather(2, source_BM[:, None, :].expand_as(x_BTM))


def disturb(x: Tensor) -> Tensor:
    """Add noise to standardised features of any shape and set some to 0; the others grow by dropout's factor."""
    return F.dropout(x + NOISE_SD * torch.randn_like(x), HIDDEN_FEATURES)


def jitter_pictures(x_VCHW: Tensor, *, size: tuple[int, int], shift: float, zoom: float, turn: float) -> Tensor:
    """Shift (share of the half side), scale and rotate (radians) each picture at random, and resample it to `size`.

    Edge pixels are repeated. Pictures are not mirrored, because a face's two halves may differ in expression.
    """
    count = len(x_VCHW)
    if not count:
        return x_VCHW.new_zeros(0, x_VCHW.shape[1], *size)
    noise_V4 = torch.rand(count, 4, device=x_VCHW.device) * 2 - 1
    angle_V, scale_V = noise_V4[:, 0] * turn, 1 + noise_V4[:, 1] * zoom
    cosine_V, sine_V = scale_V * angle_V.cos(), scale_V * angle_V.sin()
    move_V2 = noise_V4[:, 2:] * shift
    theta_V23 = torch.stack(
        [torch.stack([cosine_V, -sine_V, move_V2[:, 0]], 1), torch.stack([sine_V, cosine_V, move_V2[:, 1]], 1)], 1
    )
    grid = F.affine_grid(theta_V23, [count, x_VCHW.shape[1], *size], align_corners=False)
    return F.grid_sample(x_VCHW, grid, padding_mode="border", align_corners=False)


def hidden_spans(length_B: list[int], steps: int, *, share: float, span: int, least: int = 0) -> Tensor:
    """Return [B, T] bool on the CPU: spans of `span` steps that cover about `share` of each utterance (SpecAugment).

    Their number is rounded at random, at least `least`, at most as many as fit the longest utterance; they may
    overlap. An utterance shorter than a span has none.
    """
    hidden_BT = torch.zeros(len(length_B), steps, dtype=torch.bool)
    for row, length in enumerate(length_B):
        wanted = max(int(share * length / span + float(torch.rand(()))), least)
        places = max(length - span + 1, 0)
        first_S = torch.randperm(max(places, 1))[: min(wanted, steps // span, places)]
        for first in first_S.tolist():
            hidden_BT[row, first : first + span] = True
    return hidden_BT
