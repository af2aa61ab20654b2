"""A small audio encoder, trained from scratch: log-mel spectrogram, then convolutions over time.

Shape letters: B utterances, N samples, T steps, K frequencies, M mel bands, D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import AudioEncoder
from foalnet.core.shim import load_torchaudio
from foalnet.nets.augment import mask_bands_and_steps, shift_bands
from foalnet.nets.encoder import Encoder, InputShape, Moments, chance
from foalnet.nets.masks import masked_mean, strided, zero_masked
from foalnet.nets.norm import MaskedBatchNorm, put_rows
from foalnet.nets.tensors import Inputs, Steps

WINDOW_S, HOP_S = 0.025, 0.0125
FFT = 512
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
FLOOR = 1e-6
KERNEL = 5
# (stride, dilation) of each layer: the input has 80 steps/s, the output 20, each with a receptive field of about 1.5 s.
LAYERS = ((2, 1), (2, 1), (1, 2), (1, 4))
# In training the loudness varies by this many standard deviations of a band (0.3 is about 1 dB).
GAIN_SD = 0.3


class MaskedConv(nn.Module):
    """Convolution over time, masked batch norm, GELU, dropout, and the mask again; residual where it fits."""

    def __init__(self, width_in: int, width: int, *, stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv1d(
            width_in, width, KERNEL, stride=stride, dilation=dilation, padding=dilation * (KERNEL // 2)
        )
        # Not LayerNorm, which makes every step equally loud: silence would then weigh as much as speech, and the
        # loudness of speech would be lost.
        self.norm = MaskedBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.residual = stride == 1 and width_in == width

    def forward(self, steps: Steps) -> Steps:
        """Return the sequence at 1 / stride of its rate; masked steps do not influence it."""
        mask_BT = strided(steps.mask_BT, self.stride)
        x_BTD = self.conv(steps.values_BTD.transpose(1, 2)).transpose(1, 2)
        x_BTD = put_rows(self.dropout(F.gelu(self.norm.rows(x_BTD[mask_BT]))), mask_BT)
        if self.residual:
            x_BTD = x_BTD + steps.values_BTD
        return Steps(values_BTD=x_BTD, mask_BT=mask_BT)


def log_energies(sound: Steps, spectrogram: nn.Module, mel: nn.Module, hop: int) -> Steps:
    """Return log-mel energies [B, T, M] of sound by a complex spectrogram; step t is centred on sample t * hop.

    `spectrogram` pads with zeros on both ends, so that the amount of padding has no effect.
    """
    wave_BN = sound.values_BTD.masked_fill(~sound.mask_BT, 0.0)
    steps = -(-wave_BN.shape[1] // hop)
    # Energies span more decades than a reduced precision can represent.
    with torch.autocast(wave_BN.device.type, enabled=False):
        waves_BKT = spectrogram(wave_BN)[..., :steps]
        power_BKT = waves_BKT.real.square() + waves_BKT.imag.square()
        energy_BTM = mel(power_BKT).transpose(1, 2)
    return Steps(values_BTD=torch.log(energy_BTM + FLOOR), mask_BT=sound.mask_BT[:, ::hop])


class LogmelCnn(Encoder):
    """20 steps per second from a log-mel spectrogram, relative to the training fold and to the utterance's own mean.

    The first representation keeps loudness and timbre, the second removes the speaker's and the microphone's.
    """

    def __init__(self, params: AudioEncoder, shape: InputShape) -> None:
        super().__init__()
        self.width = params.width
        self.augment = params.augment
        self.hop = round(HOP_S * shape.rate_hz)
        transforms = load_torchaudio().transforms
        # Padded with zeros on both ends, so that a short utterance in a longer batch gets the same result as alone.
        # Complex, because torchaudio's power takes a root and squares it again, a third of this encoder's time.
        self.spectrogram = transforms.Spectrogram(
            n_fft=FFT,
            win_length=round(WINDOW_S * shape.rate_hz),
            hop_length=self.hop,
            power=None,
            pad_mode="constant",
        )
        self.mel = transforms.MelScale(
            n_mels=params.mels, sample_rate=shape.rate_hz, f_min=LOWEST_HZ, f_max=HIGHEST_HZ, n_stft=FFT // 2 + 1
        )
        self.mean_M: Tensor
        self.deviation_M: Tensor
        self.register_buffer("mean_M", torch.zeros(params.mels))
        self.register_buffer("deviation_M", torch.ones(params.mels))
        widths = [2 * params.mels, *[params.width] * len(LAYERS)]
        self.layers = nn.ModuleList(
            MaskedConv(w, params.width, stride=stride, dilation=dilation, dropout=chance(params.dropout))
            for w, (stride, dilation) in zip(widths, LAYERS, strict=False)
        )

    def prepare_steps(self, inputs: Inputs) -> Steps:
        """Return the log-mel energies."""
        return self.logmel(inputs)

    def logmel(self, inputs: Inputs) -> Steps:
        """Return log-mel energies [B, T, M], 80 steps per second."""
        if "audio" in inputs.prepared:
            return inputs.prepared["audio"]
        return log_energies(inputs.raw["audio"], self.spectrogram, self.mel, self.hop)

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and deviation of each band over the training fold."""
        moments = Moments()
        for batch in batches:
            steps = self.logmel(batch)
            moments.add(steps.values_BTD[steps.mask_BT])
        moments.into(self.mean_M, self.deviation_M)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT, 20 steps a second."""
        steps = self.logmel(inputs)
        x_BTM = (steps.values_BTD - self.mean_M) / self.deviation_M
        if self.training and self.augment:
            x_BTM = x_BTM + GAIN_SD * torch.randn(len(x_BTM), 1, 1, device=x_BTM.device)
            x_BTM = mask_bands_and_steps(shift_bands(x_BTM))
        own_BTM = x_BTM - masked_mean(x_BTM, steps.mask_BT).unsqueeze(1)
        both_BTM = zero_masked(torch.cat([x_BTM, own_BTM], dim=2), steps.mask_BT)
        steps = Steps(values_BTD=both_BTM, mask_BT=steps.mask_BT)
        for layer in self.layers:
            steps = layer(steps)
        return steps
