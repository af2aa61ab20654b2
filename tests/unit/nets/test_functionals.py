"""The statistics of an utterance's sound on known tones, and the encoders with one hidden layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foalnet.nets import InputShape
from foalnet.nets import functionals as module
from foalnet.nets.augment import HIDDEN_FEATURES, NOISE_SD, disturb
from foalnet.nets.functionals import STATISTICS, VIEWS, Functionals, functionals
from foalnet.nets.linear import Linear
from foalnet.nets.mlp import Mlp
from foalnet.train.batches import collate
from tests.support.corpus.stores import DIMS, RATE_HZ, make_params, make_store, put

TABLE = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
# Where the groups begin: 7 numbers of each cepstral coefficient and the deviation of its change come first.
PITCH = 8 * module.CEPSTRA
HARMONIC, TIMES = PITCH + 14, STATISTICS - 5


def voice(hz: float, length_s: float) -> np.ndarray:
    """A tone with nine overtones, as a voice has them."""
    time_N = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    return (0.05 * sum(np.sin(2 * np.pi * hz * k * time_N) / k for k in range(1, 11))).astype(np.float32)


@pytest.mark.parametrize("hz", [80.0, 120.0, 220.0, 400.0])
def test_pitch_is_the_tones_in_semitones_over_100_hz(hz: float) -> None:
    features = functionals(torch.from_numpy(voice(hz, 0.6)), RATE_HZ)
    assert features.shape == (STATISTICS,)
    median = float(features[PITCH + 4])
    assert median == pytest.approx(12 * np.log2(hz / 100), abs=0.35)
    assert float(features[HARMONIC]) > 0.9


def test_speech_is_timed_without_the_silence_around_it() -> None:
    wave_N = np.concatenate([np.zeros(8000, np.float32), voice(150, 0.5), np.zeros(16000, np.float32)])
    speech_s, voiced_s, share, all_s, begins = functionals(torch.from_numpy(wave_N), RATE_HZ)[TIMES:].tolist()
    assert speech_s == pytest.approx(0.5, abs=0.05) and voiced_s == pytest.approx(0.5, abs=0.1)
    assert share == pytest.approx(voiced_s / speech_s) and all_s == pytest.approx(2.01) and begins == 1


def test_noise_is_not_voiced() -> None:
    noise_N = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    assert float(functionals(torch.from_numpy(noise_N), RATE_HZ)[TIMES + 2]) < 0.1


@pytest.mark.parametrize("samples", [1, 3, 159, 400, 3200])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_any_length_and_silence_give_finite_numbers(samples: int, level: float) -> None:
    wave_N = torch.from_numpy((level * np.sin(np.arange(samples))).astype(np.float32))
    features = functionals(wave_N, RATE_HZ)
    assert features.shape == (STATISTICS,) and bool(features.isfinite().all())


def test_what_is_remembered_is_what_is_computed_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_seen", {})
    monkeypatch.setattr(module, "REMEMBERED", 2)
    waves = [torch.from_numpy(voice(hz, 0.2)) for hz in (100, 150, 200)]
    first = [functionals(wave_N, RATE_HZ).clone() for wave_N in waves]
    assert len(module._seen) <= 2
    assert all(torch.equal(functionals(w, RATE_HZ), f) for w, f in zip(waves, first, strict=True))
    assert not torch.equal(functionals(waves[0], RATE_HZ), functionals(waves[0], 8000)), "the rate is part of the key"


def test_an_utterance_has_some_views_of_its_own_statistics_alone() -> None:
    clips = list(make_store(frame=(DIMS,)).store.clips.values())[:4]
    encoder = Functionals(make_params(audio={"encoder": "functionals"}).audio, TABLE).eval()
    encoder.fit([collate(clips)])
    both, one = encoder(collate(clips)), encoder(collate(clips[1:2]))
    assert both.values_BTD.shape == (4, VIEWS, encoder.width) and bool(both.mask_BT.all())
    torch.testing.assert_close(both.values_BTD[1], one.values_BTD[0], rtol=0, atol=1e-6)
    standard = (encoder.statistics(collate(clips)) - encoder.mean_X) / encoder.deviation_X
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(STATISTICS), rtol=0, atol=2e-2)


def test_mlp_is_linears_features_through_a_hidden_layer() -> None:
    batch = collate(list(make_store(frame=(DIMS,)).store.clips.values())[:4])
    params = make_params(video={"encoder": "mlp"}).video
    encoder = Mlp(params, TABLE).eval()
    encoder.fit([batch])
    plain = Linear(params, TABLE)
    plain.fit([batch])
    assert torch.equal(encoder.standardised(batch), plain.standardised(batch))
    hidden = torch.nn.functional.gelu(encoder.linear(plain.standardised(batch)))
    expected = encoder.out(hidden) * batch.raw["video"].mask_BT.unsqueeze(-1)
    torch.testing.assert_close(encoder(batch).values_BTD, expected, rtol=0, atol=1e-6)
    assert encoder(batch).values_BTD.shape[2] == encoder.width == params.width


@pytest.mark.parametrize("augment", [True, False])
def test_only_training_with_augment_disturbs(augment: bool) -> None:
    batch = collate(list(make_store(frame=(DIMS,)).store.clips.values())[:4])
    params = make_params(
        audio={"encoder": "functionals", "augment": augment}, video={"encoder": "mlp", "augment": augment}
    )
    for encoder in (Functionals(params.audio, TABLE), Mlp(params.video, TABLE)):
        encoder.fit([batch])
        encoder.train()
        assert torch.equal(encoder(batch).values_BTD, encoder(batch).values_BTD) is not augment
        encoder.eval()
        assert torch.equal(encoder(batch).values_BTD, encoder(batch).values_BTD)


def test_disturbed_features_keep_their_mean() -> None:
    torch.manual_seed(0)
    x = disturb(torch.full((200_000,), 2.0))
    assert float((x == 0).float().mean()) == pytest.approx(HIDDEN_FEATURES, abs=0.01)
    assert float(x.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(x[x != 0].std()) == pytest.approx(NOISE_SD / (1 - HIDDEN_FEATURES), abs=0.01)


def test_a_clip_that_was_not_heard_has_no_step_and_changes_no_neighbour() -> None:
    clips = list(make_store(groups=1, per_group=3).store.clips.values())
    encoder = Functionals(make_params(audio={"encoder": "functionals"}).audio, TABLE).eval()
    batch = collate(clips)
    heard = encoder(batch)
    mask_BN = batch.raw["audio"].mask_BT.clone()
    mask_BN[1] = False
    encoded = encoder(put(batch, "audio", mask_BT=mask_BN))
    assert not encoded.mask_BT[1].any() and not encoded.values_BTD[1].any()
    assert torch.equal(encoded.values_BTD[::2], heard.values_BTD[::2]) and bool(heard.mask_BT.all())
