"""The audio encoder of GBAN (Liu, Li, Meng, Interspeech 2020): 52 acoustic features, convolutions, a BiLSTM.

Exact: 26 log-mel energies, 13 cepstra and their 13 deltas of 25 ms Hamming windows every 10 ms, FFT 512, 0 to 6500 Hz;
four convolutions of 12, 20, 28 and 36 filters, kernel 4, no padding, ReLU, each with max-pool 2; a BiLSTM, which has
the paper's 128 units in each direction at `width: 256`. Our interpretation: deltas by regression over two frames on
each side; features standardised by the training fold; an utterance keeps its own length, of at least one second, where
the paper fills all to 7.5 s; dropout on the output.

Shape letters: B utterances, T steps, M mel bands, X features, D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import AudioEncoder
from foalnet.core.shim import load_torchaudio
from foalnet.nets.bilstm import BiLstm
from foalnet.nets.encoder import Encoder, InputShape, Moments, chance
from foalnet.nets.logmel import log_energies
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps

WINDOW_S, HOP_S, FFT = 0.025, 0.01, 512
HIGHEST_HZ = 6500.0
MELS, CEPSTRA = 26, 13
FEATURES = MELS + 2 * CEPSTRA
FILTERS, KERNEL, POOL = (12, 20, 28, 36), 4, 2
# Frames on each side of a delta.
REACH = 2
# A shorter utterance is filled with mean frames: four convolutions turn these frames into three steps.
SHORTEST = 100


class GbanAudio(Encoder):
    """About six steps a second."""

    def __init__(self, params: AudioEncoder, shape: InputShape) -> None:
        super().__init__()
        self.width = params.width
        self.hop = round(HOP_S * shape.rate_hz)
        torchaudio = load_torchaudio()
        self.spectrogram = torchaudio.transforms.Spectrogram(
            n_fft=FFT,
            win_length=round(WINDOW_S * shape.rate_hz),
            hop_length=self.hop,
            power=None,
            pad_mode="constant",
            window_fn=torch.hamming_window,
        )
        self.mel = torchaudio.transforms.MelScale(
            n_mels=MELS, sample_rate=shape.rate_hz, f_min=0.0, f_max=HIGHEST_HZ, n_stft=FFT // 2 + 1
        )
        self.cosines: Tensor
        self.mean_X: Tensor
        self.deviation_X: Tensor
        self.register_buffer("cosines", torchaudio.functional.create_dct(CEPSTRA, MELS, "ortho"))
        self.register_buffer("mean_X", torch.zeros(FEATURES))
        self.register_buffer("deviation_X", torch.ones(FEATURES))
        widths = (FEATURES, *FILTERS)
        self.convs = nn.ModuleList(nn.Conv1d(w, out, KERNEL) for w, out in zip(widths, FILTERS, strict=False))
        self.lstm = BiLstm(FILTERS[-1], params.width, param="train.audio.width")
        self.dropout = nn.Dropout(chance(params.dropout))

    def prepare_steps(self, inputs: Inputs) -> Steps:
        """Return the acoustic features."""
        return self.features(inputs)

    def features(self, inputs: Inputs) -> Steps:
        """Return log-mel energies, cepstra and deltas of the cepstra, [B, T, 52], 100 frames a second."""
        if "audio" in inputs.prepared:
            return inputs.prepared["audio"]
        logmel = log_energies(inputs.raw["audio"], self.spectrogram, self.mel, self.hop)
        with torch.autocast(logmel.values_BTD.device.type, enabled=False):
            cepstra = Steps(values_BTD=logmel.values_BTD @ self.cosines, mask_BT=logmel.mask_BT)
        features_BTX = torch.cat([logmel.values_BTD, cepstra.values_BTD, deltas(cepstra)], dim=2)
        return Steps(values_BTD=features_BTX, mask_BT=logmel.mask_BT)

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and deviation of each feature over the training fold."""
        moments = Moments()
        for batch in batches:
            steps = self.features(batch)
            moments.add(steps.values_BTD[steps.mask_BT])
        moments.into(self.mean_X, self.deviation_X)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT; an utterance without sound has no step."""
        features = self.features(inputs)
        x_BTX = zero_masked((features.values_BTD - self.mean_X) / self.deviation_X, features.mask_BT)
        length_B = features.mask_BT.sum(dim=1)
        length_B = torch.where(length_B > 0, length_B.clamp(min=SHORTEST), 0)
        x_BXT = F.pad(x_BTX, (0, 0, 0, max(0, SHORTEST - x_BTX.shape[1]))).transpose(1, 2)
        for conv in self.convs:
            # A step counts if all frames that it reads are of the utterance.
            x_BXT = F.max_pool1d(F.relu(conv(x_BXT)), POOL)
            length_B = (length_B - KERNEL + 1).clamp(min=0) // POOL
        mask_BT = torch.arange(x_BXT.shape[2], device=length_B.device) < length_B[:, None]
        read = self.lstm(Steps(values_BTD=zero_masked(x_BXT.transpose(1, 2), mask_BT), mask_BT=mask_BT))
        return Steps(values_BTD=self.dropout(read.values_BTD), mask_BT=mask_BT)


def deltas(steps: Steps) -> Tensor:
    """Return the slope at each step, [B, T, D], by regression over REACH steps on each side; the edge steps repeat.

    >>> line_BTD = torch.tensor([[[0.0], [1.0], [2.0], [3.0], [4.0], [99.0]]])
    >>> mask_BT = torch.tensor([[True] * 5 + [False]])
    >>> [round(x, 1) for x in deltas(Steps(values_BTD=line_BTD, mask_BT=mask_BT)).flatten().tolist()[:5]]
    [0.5, 0.8, 1.0, 0.8, 0.5]
    """
    values_BTD = steps.values_BTD
    place_T = torch.arange(values_BTD.shape[1], device=values_BTD.device)
    last_B1 = (steps.mask_BT.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    slope_BTD = torch.zeros_like(values_BTD)
    for k in range(1, REACH + 1):
        later_BT, earlier_BT = ((place_T + move).clamp(min=0).minimum(last_B1) for move in (k, -k))
        later_BTD, earlier_BTD = (
            values_BTD.gather(1, place_BT[..., None].expand_as(values_BTD)) for place_BT in (later_BT, earlier_BT)
        )
        slope_BTD = slope_BTD + k * (later_BTD - earlier_BTD)
    return slope_BTD / (2 * sum(k * k for k in range(1, REACH + 1)))
