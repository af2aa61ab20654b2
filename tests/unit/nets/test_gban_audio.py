"""GBAN's audio encoder: the paper's sizes and numbers of steps, cepstra and deltas, short utterances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foalnet.config.blocks import AudioEncoder
from foalnet.nets import Inputs, InputShape, Steps
from foalnet.nets.gban_audio import GbanAudio, deltas

SHAPE = InputShape(rate_hz=16000, frame=(4,))


def sound(*seconds: float) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    samples = [round(16000 * s) for s in seconds]
    wave_BN = 0.1 * torch.randn(len(samples), max(samples), generator=generator)
    mask_BN = torch.arange(max(samples)) < torch.tensor(samples)[:, None]
    return Inputs(raw={"audio": Steps(values_BTD=wave_BN * mask_BN, mask_BT=mask_BN)})


def test_the_papers_sizes_at_width_256() -> None:
    encoder = GbanAudio(AudioEncoder(width=256), SHAPE)
    assert [tuple(conv.weight.shape) for conv in encoder.convs] == [(12, 52, 4), (20, 12, 4), (28, 20, 4), (36, 28, 4)]
    lstm = encoder.lstm.lstm
    assert (encoder.width, lstm.input_size, lstm.hidden_size, lstm.bidirectional) == (256, 36, 128, True)


@pytest.mark.parametrize(("seconds", "steps"), [(7.5, 44), (1.0, 3), (0.2, 3), (2.0, 9)])
def test_the_paper_has_44_steps_of_750_frames_and_a_short_utterance_three(seconds: float, steps: int) -> None:
    encoder = GbanAudio(AudioEncoder(width=8), SHAPE).eval()
    out = encoder(sound(seconds, 9.0))
    assert int(out.mask_BT[0].sum()) == steps
    assert bool((out.values_BTD[~out.mask_BT] == 0).all())


def test_the_features_are_energies_cepstra_and_deltas() -> None:
    features_TX = GbanAudio(AudioEncoder(width=8), SHAPE).features(sound(0.5)).values_BTD[0]
    assert features_TX.shape == (50, 52)
    energy_TM, cepstra_TX, deltas_TX = features_TX.split([26, 13, 13], dim=1)
    # The orthonormal cosine transform: its first number is the sum of the bands over the root of their number.
    torch.testing.assert_close(cepstra_TX[:, 0], energy_TM.sum(dim=1) / np.sqrt(26))
    angle_M = np.pi * 3 * (torch.arange(26) + 0.5) / 26
    torch.testing.assert_close(cepstra_TX[:, 3], energy_TM @ (angle_M.cos() * np.sqrt(2 / 26)), rtol=1e-4, atol=1e-4)
    c = cepstra_TX
    torch.testing.assert_close(deltas_TX[7], (c[8] - c[6] + 2 * (c[9] - c[5])) / 10)
    torch.testing.assert_close(deltas_TX[0], (c[1] - c[0] + 2 * (c[2] - c[0])) / 10)


def test_deltas_of_an_utterance_without_a_step_are_finite() -> None:
    assert bool(
        (deltas(Steps(values_BTD=torch.zeros(1, 4, 2), mask_BT=torch.zeros(1, 4, dtype=torch.bool))) == 0).all()
    )
