"""The drawn voice: cues sound different but move the mouth in the same way."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.drawn.plan import RATE_HZ
from foalnet.drawn.rule import SOUND_CUES
from foalnet.drawn.voice import MANNERS, Speech, Voice, draw_voice, room, speak

SAMPLES = 24000


def spoken(cue: str, seed: int = 3, speaker: str = "F") -> Speech:
    return speak(draw_voice(speaker, np.random.default_rng(1)), cue, SAMPLES, np.random.default_rng(seed))


def level_db(wave_N: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wave_N.astype(np.float64) ** 2)))


def mean_spectrum(wave_N: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(wave_N, 400)[::160] * np.hanning(400)
    return np.abs(np.fft.rfft(frames, axis=1)).mean(0)


def test_every_cue_of_the_rule_has_a_manner_of_its_own() -> None:
    assert set(MANNERS) == set(SOUND_CUES)
    assert len({repr(manner) for manner in MANNERS.values()}) == len(SOUND_CUES)


@pytest.mark.parametrize("cue", SOUND_CUES)
def test_sound_is_finite_of_the_requested_length_and_repeatable(cue: str) -> None:
    one = spoken(cue)
    assert one.wave_N.shape == one.articulation_N.shape == (SAMPLES,) and one.wave_N.dtype == np.float32
    assert np.isfinite(one.wave_N).all() and 0.02 < np.abs(one.wave_N).max() < 1.0
    assert np.array_equal(one.wave_N, spoken(cue).wave_N)
    assert not np.array_equal(one.wave_N, spoken(cue, seed=4).wave_N)


@pytest.mark.parametrize("cue", SOUND_CUES)
def test_the_mouth_moves_alike_whatever_the_cue(cue: str) -> None:
    for seed in range(5):
        assert np.array_equal(spoken(cue, seed).articulation_N, spoken("neutral", seed).articulation_N)


@pytest.mark.parametrize("cue", [cue for cue in SOUND_CUES if cue != "quaver"])
def test_sound_is_loud_where_the_mouth_is_open(cue: str) -> None:
    # The quaver trembles ten times a second, faster than a mouth does.
    one = spoken(cue)
    blocks = SAMPLES // 800
    loudness = np.sqrt((one.wave_N[: blocks * 800].reshape(blocks, 800) ** 2).mean(1))
    opening = one.articulation_N[: blocks * 800].reshape(blocks, 800).mean(1)
    assert np.corrcoef(loudness, opening)[0, 1] > 0.3


def test_cues_differ_in_what_they_are_meant_to_differ_in() -> None:
    waves = {cue: spoken(cue).wave_N for cue in SOUND_CUES}
    assert level_db(waves["angry"]) > level_db(waves["neutral"]) + 2 > level_db(waves["sad"]) + 6
    high = {cue: float((s := mean_spectrum(w))[80:].sum() / s.sum()) for cue, w in waves.items()}
    assert high["happy"] == max(high.values())
    assert high["blank"] > high["neutral"] > high["sad"] > high["hum"]


def test_women_speak_higher_than_men() -> None:
    voices = {s: [draw_voice(s, np.random.default_rng(i)) for i in range(20)] for s in "FM"}
    assert min(v.pitch_hz for v in voices["F"]) > max(v.pitch_hz for v in voices["M"])


def test_pitch_is_what_the_voice_says() -> None:
    low = Voice(pitch_hz=100.0, tract=1.0, tilt_db=0.0, breath=0.0)
    wave_N = speak(low, "neutral", SAMPLES, np.random.default_rng(0)).wave_N[4000:20000].astype(np.float64)
    echo = np.correlate(wave_N, wave_N, "full")[len(wave_N) - 1 :]
    lag = 80 + int(np.argmax(echo[80:320]))
    assert RATE_HZ / lag == pytest.approx(100.0, rel=0.15)


def test_shortest_utterance_that_params_allow() -> None:
    samples = round(0.3 * RATE_HZ)
    assert (
        len(speak(draw_voice("M", np.random.default_rng(0)), "sad", samples, np.random.default_rng(0)).wave_N)
        == samples
    )


def test_a_room_hisses_softly() -> None:
    assert -70 < level_db(room(16000, np.random.default_rng(0))) < -50
