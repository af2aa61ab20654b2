"""An audio encoder without convolutions: statistics of an utterance's sound, then one hidden layer; a few steps.

It suits corpora of some hundred utterances, on which a network over a spectrogram overfits to the speakers. The
statistics (cepstrum, loudness, pitch, harmonicity and their change, over the frames with speech) follow the usual
acoustic parameter sets (Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set", 2016).

Shape letters: B utterances, N samples, T frames, X statistics, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import AudioEncoder
from foalnet.core.shim import load_torchaudio
from foalnet.nets.augment import disturb
from foalnet.nets.encoder import Encoder, InputShape, Moments, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.mlp import CLIP, HIDDEN
from foalnet.nets.tensors import Inputs, Steps

HOP_S, WINDOW_S, PITCH_WINDOW_S = 0.01, 0.025, 0.064
FFT, MELS, CEPSTRA = 512, 40, 20
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ, PITCH_ZERO_HZ = 65.0, 500.0, 100.0
# The cost per octave, so that of two lags that fit a frame equally well the shorter one is the pitch.
OCTAVE_COST = 0.02
FLOOR = 1e-6
# Frames within this many nepers of energy of the loud ones are speech; with fewer frames than this, all are.
SPEECH_NEPERS, FEWEST_FRAMES = 6.0, 5
# A frame is voiced if its autocorrelation at one pitch period is larger.
VOICED = 0.5
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
STATISTICS = 8 * CEPSTRA + 5 * (2 + len(LEVELS)) + 5
# The number of cached vectors per process, 800 bytes each; an epoch then costs one digest per utterance.
REMEMBERED = 20_000
# Steps per utterance: several views of the same statistics, so that attention can select among them.
VIEWS = 4

_seen: dict[tuple[bytes, int], Tensor] = {}


def functionals(wave_N: Tensor, rate_hz: int) -> Tensor:
    """Return the statistics, float32 [X] on the CPU, of one utterance's float32 samples in [-1, 1].

    They depend only on the samples and their rate, so this function caches them by the samples' digest.
    """
    wave_N = wave_N.detach().cpu().float().contiguous()
    key = (hashlib.sha256(wave_N.numpy().data).digest(), rate_hz)
    if key not in _seen:
        if len(_seen) >= REMEMBERED:
            _seen.clear()
        _seen[key] = _statistics(wave_N, rate_hz)
    return _seen[key]


@torch.no_grad()
def _statistics(wave_N: Tensor, rate_hz: int) -> Tensor:
    mel, dct = _spectral(rate_hz)
    energy_TM = mel(wave_N).T
    loud_T = torch.log(energy_TM.sum(dim=1) + FLOOR)
    cepstrum_TX = torch.log(energy_TM + FLOOR) @ dct
    pitch_T, harmonic_T = _pitch(wave_N, rate_hz, len(loud_T))
    speech_T = loud_T > torch.quantile(loud_T, LEVELS[-1]) - SPEECH_NEPERS
    if int(speech_T.sum()) < FEWEST_FRAMES:
        speech_T = torch.ones_like(speech_T)
    voiced_T = speech_T & (harmonic_T > VOICED)
    pitch_V = pitch_T[voiced_T] if int(voiced_T.sum()) >= FEWEST_FRAMES else torch.zeros(FEWEST_FRAMES)
    change_TX = cepstrum_TX.diff(dim=0)[speech_T[1:]]
    curves = (pitch_V, pitch_V.diff(), harmonic_T[speech_T], loud_T[speech_T], loud_T[speech_T].diff())
    begins = int((speech_T[1:] & ~speech_T[:-1]).sum())
    speech_s, voiced_s = (float(mask_T.sum()) * HOP_S for mask_T in (speech_T, voiced_T))
    times = torch.tensor([speech_s, voiced_s, voiced_s / speech_s, len(loud_T) * HOP_S, begins])
    deviation_X = change_TX.std(dim=0, correction=0) if len(change_TX) else torch.zeros(CEPSTRA)
    return torch.cat([_spread(cepstrum_TX[speech_T]), deviation_X, *(_spread(c[:, None]) for c in curves), times])


def _spread(values_TX: Tensor) -> Tensor:
    """Return mean, deviation and quantiles of each column over the rows, one after the other; zeros without a row."""
    if not len(values_TX):
        return torch.zeros((2 + len(LEVELS)) * values_TX.shape[1])
    quantiles_QX = torch.quantile(values_TX, torch.tensor(LEVELS), dim=0)
    return torch.cat([values_TX.mean(dim=0), values_TX.std(dim=0, correction=0), quantiles_QX.flatten()])


def _pitch(wave_N: Tensor, rate_hz: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return pitch in semitones over PITCH_ZERO_HZ and harmonicity in 0..1 of every frame, by autocorrelation.

    The window's own autocorrelation is divided out (Boersma 1993), so that low voices are not at a disadvantage.
    """
    size = round(PITCH_WINDOW_S * rate_hz)
    window = torch.hann_window(size)
    frame_TN = F.pad(wave_N, (size // 2, size)).unfold(0, size, round(HOP_S * rate_hz))[:frames]
    spectrum_TK = torch.fft.rfft((frame_TN - frame_TN.mean(dim=1, keepdim=True)) * window, n=2 * size)
    again_TL = torch.fft.irfft(spectrum_TK.abs().square())
    own_L = torch.fft.irfft(torch.fft.rfft(window, n=2 * size).abs().square())
    first, last = int(rate_hz / HIGHEST_PITCH_HZ), int(rate_hz / LOWEST_PITCH_HZ)
    lag_L = torch.arange(first, last)
    strength_TL = again_TL[:, first:last] / again_TL[:, :1].clamp(min=1e-9) / (own_L[first:last] / own_L[0])
    best_T = (strength_TL - OCTAVE_COST * torch.log2(lag_L / first)).argmax(dim=1)
    semitone_T = 12 * torch.log2(rate_hz / PITCH_ZERO_HZ / lag_L[best_T])
    return semitone_T, strength_TL.gather(1, best_T[:, None])[:, 0].clamp(0.0, 1.0)


@lru_cache(maxsize=4)
def _spectral(rate_hz: int) -> tuple[nn.Module, Tensor]:
    torchaudio = load_torchaudio()
    mel = torchaudio.transforms.MelSpectrogram(
        rate_hz,
        n_fft=FFT,
        win_length=round(WINDOW_S * rate_hz),
        hop_length=round(HOP_S * rate_hz),
        n_mels=MELS,
        f_min=LOWEST_HZ,
        f_max=HIGHEST_HZ,
        pad_mode="constant",
    )
    return mel, torchaudio.functional.create_dct(CEPSTRA, MELS, "ortho")


class Functionals(Encoder):
    """VIEWS steps per utterance from its statistics, standardised by the training fold, through one hidden layer.

    With `augment`, training adds noise to the statistics and hides some.
    """

    def __init__(self, params: AudioEncoder, shape: InputShape) -> None:
        super().__init__()
        self.width, self.augment, self.rate_hz = params.width, params.augment, shape.rate_hz
        self.mean_X: Tensor
        self.deviation_X: Tensor
        self.register_buffer("mean_X", torch.zeros(STATISTICS))
        self.register_buffer("deviation_X", torch.ones(STATISTICS))
        self.hidden = nn.Linear(STATISTICS, HIDDEN * params.width)
        self.dropout = nn.Dropout(chance(params.dropout))
        self.out = nn.Linear(HIDDEN * params.width, VIEWS * params.width)

    def statistics(self, inputs: Inputs) -> Tensor:
        """Return [B, X] on the inputs' device."""
        sound = inputs.raw["audio"]
        length_B = np.count_nonzero(sound.mask_BT.cpu().numpy(), axis=1).tolist()
        pairs = zip(sound.values_BTD, length_B, strict=True)
        silent_X = torch.zeros(STATISTICS)
        rows = [functionals(wave_N[:length], self.rate_hz) if length else silent_X for wave_N, length in pairs]
        return torch.stack(rows).to(sound.values_BTD.device)

    @torch.no_grad()
    def fit(self, batches: Iterable[Inputs]) -> None:
        """Compute mean and deviation of each statistic over the training fold."""
        moments = Moments()
        for batch in batches:
            moments.add(self.statistics(batch))
        moments.into(self.mean_X, self.deviation_X)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT, T = VIEWS; a clip without sound has no step."""
        x_BX = ((self.statistics(inputs) - self.mean_X) / self.deviation_X).clamp(-CLIP, CLIP)
        if self.training and self.augment:
            x_BX = disturb(x_BX)
        values_BD = self.out(self.dropout(F.gelu(self.hidden(x_BX))))
        mask_BT = inputs.raw["audio"].mask_BT[:, :1].expand(-1, VIEWS)
        values_BTD = zero_masked(values_BD.unflatten(1, (VIEWS, self.width)), mask_BT)
        return Steps(values_BTD=values_BTD, mask_BT=mask_BT)
