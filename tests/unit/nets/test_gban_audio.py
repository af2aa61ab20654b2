"""GBAN's encoders: the paper's sizes and numbers of steps, cepstra and deltas, short utterances; its BiLSTM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from foalnet.config.blocks import AudioEncoder, TextEncoder
from foalnet.core.errors import UsageError
from foalnet.nets import Inputs, InputShape, Steps
from foalnet.nets.bilstm import BiLstm, final_states, last_step
from foalnet.nets.gban_audio import GbanAudio, deltas
from foalnet.nets.gban_text import GbanText
from foalnet.nets.hashed import pieces_of

SHAPE = InputShape(rate_hz=16000, frame=(4,))


def sound(*seconds: float) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    samples = [round(16000 * s) for s in seconds]
    wave_BN = 0.1 * torch.randn(len(samples), max(samples), generator=generator)
    mask_BN = torch.arange(max(samples)) < torch.tensor(samples)[:, None]
    return Inputs(raw={"audio": Steps(values_BTD=wave_BN * mask_BN, mask_BT=mask_BN)})


def words(*texts: str) -> Inputs:
    hashes = [torch.from_numpy(pieces_of(text)) for text in texts]
    longest = max(len(each) for each in hashes)
    values = torch.stack([F.pad(each, (0, 0, 0, longest - len(each))) for each in hashes])
    mask_BT = torch.arange(longest) < torch.tensor([len(each) for each in hashes])[:, None]
    return Inputs(raw={"text": Steps(values_BTD=values, mask_BT=mask_BT)})


def test_the_papers_sizes_at_width_256() -> None:
    audio = GbanAudio(AudioEncoder(width=256), SHAPE)
    assert [tuple(conv.weight.shape) for conv in audio.convs] == [(12, 52, 4), (20, 12, 4), (28, 20, 4), (36, 28, 4)]
    text = GbanText(TextEncoder(width=256), SHAPE)
    assert [tuple(conv.weight.shape) for conv in text.convs] == [(128, 300, 2), (128, 300, 3), (128, 300, 4)]
    assert text.lstm.lstm.input_size == 384
    for encoder in (audio, text):
        assert (encoder.width, encoder.lstm.lstm.hidden_size, encoder.lstm.lstm.bidirectional) == (256, 128, True)


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


def test_words_are_pooled_in_pairs_and_a_last_one_alone() -> None:
    encoder = GbanText(TextEncoder(width=8), SHAPE).eval()
    out = encoder(words("one two three", "one two three four five", ""))
    assert out.mask_BT.sum(dim=1).tolist() == [2, 3, 0]
    x_BET = encoder.table.weight.new_zeros(1, 300, 3)
    for place, word in enumerate(("one", "two", "three")):
        pieces = torch.from_numpy(pieces_of(word))[0]
        x_BET[0, :, place] = encoder.table(pieces[pieces >= 0] % 8192).mean(dim=0)
    # "same" padding of even kernels: one zero less before than after; then the maxima of words 1 and 2, and of 3.
    each = [conv(F.pad(x_BET, pad)).relu() for conv, pad in zip(encoder.convs, [(0, 1), (1, 1), (1, 2)], strict=True)]
    words_TD = torch.cat(each, dim=1)[0].T
    pooled_TD = torch.stack([words_TD[:2].amax(dim=0), words_TD[2]])
    expected_TD = encoder.lstm.lstm(pooled_TD[None])[0][0]
    torch.testing.assert_close(out.values_BTD[0, :2], expected_TD, rtol=0.0, atol=1e-6)


def test_vectors_of_text_and_odd_widths_are_errors_by_name() -> None:
    with pytest.raises(UsageError, match="gban reads the words themselves"):
        GbanText(TextEncoder(), InputShape(rate_hz=16000, frame=(4,), text=3))
    with pytest.raises(UsageError, match="width of 7 cannot be halved"):
        GbanAudio(AudioEncoder(width=7), SHAPE)


def test_the_lstm_skips_masked_steps_and_gives_the_states_of_torch() -> None:
    torch.manual_seed(0)
    lstm = BiLstm(3, 4, param="width").eval()
    values_BTD = torch.randn(3, 5, 3)
    mask_BT = torch.tensor([[True, False, True, True, False], [False] * 5, [True] * 5])
    read = lstm(Steps(values_BTD=values_BTD, mask_BT=mask_BT))
    dense, (state_2Bd, _) = lstm.lstm(values_BTD[:1, [0, 2, 3]])
    torch.testing.assert_close(read.values_BTD[0, [0, 2, 3]], dense[0])
    assert bool((read.values_BTD[~mask_BT] == 0).all())
    whole = Steps(values_BTD=read.values_BTD[[0, 2]], mask_BT=mask_BT[[0, 2]])
    torch.testing.assert_close(final_states(whole)[0], state_2Bd[:, 0].flatten())
    torch.testing.assert_close(last_step(whole)[0], dense[0, -1])
