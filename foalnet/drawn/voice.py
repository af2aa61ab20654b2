"""Synthesises speech-like sound: glottal pulses or noise through formants, syllable by syllable, in a cue's manner.

Syllables, vowels and loudness are drawn independently of the cue, and the mouth follows only that articulation, so the
picture does not reveal the sound cue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from foalnet.drawn.plan import RATE_HZ

# First three formants of five vowels, Hz (rounded textbook values of an adult male voice).
VOWELS_HZ = ((700, 1220, 2600), (530, 1850, 2500), (300, 2250, 3000), (500, 900, 2500), (320, 800, 2300))
NASAL_HZ = (250, 1000, 2200)
BANDWIDTHS_HZ = (70.0, 100.0, 150.0)
RING_HZ, RING_WIDTH_HZ = 4600.0, 400.0
SYLLABLE_S = (0.15, 0.27)
EDGE_S = 0.03
CONSONANT_SHARE = 0.5
LEVEL_RMS = 0.07
ROOM_RMS = 0.0008


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """The voice of one actor: base pitch, factor of the formants, spectral tilt, breath."""

    pitch_hz: float
    tract: float
    tilt_db: float
    breath: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """The manner of speaking for a cue.

    `pitch`: semitones above the actor's pitch; `slope` and `glide`: semitones of rise over the utterance and within
    each syllable; `lilt`: every other syllable higher, the others lower; `tilt_db`: fall of the source in dB per kHz;
    `level_db`; `breath`: noise added to the pulses; `rough`: every second pulse weaker; `ring`: a bright fourth
    resonance; `vibrato`: semitones; `tremolo`: depth; `rate_hz` of both; `hum`: closed lips; `whisper`: noise instead
    of pulses.
    """

    pitch: float = 0.0
    slope: float = 0.0
    glide: float = 0.0
    lilt: float = 0.0
    tilt_db: float = 9.0
    level_db: float = 0.0
    breath: float = 0.03
    rough: float = 0.0
    ring: float = 0.0
    vibrato: float = 0.0
    tremolo: float = 0.0
    rate_hz: float = 6.0
    hum: bool = False
    whisper: bool = False


MANNERS = {
    "happy": Manner(pitch=5, slope=3, glide=5, lilt=2.5, tilt_db=7, level_db=1, ring=0.2),
    "neutral": Manner(tilt_db=11),
    "sad": Manner(pitch=-3, slope=-5, glide=-1, tilt_db=17, level_db=-7, breath=0.12),
    "angry": Manner(pitch=2, slope=-2, glide=-3, tilt_db=3.5, level_db=5, rough=0.6),
    "blank": Manner(level_db=-7, whisper=True),
    "hum": Manner(pitch=-1, tilt_db=16, vibrato=1.5, rate_hz=6.0, hum=True),
    "quaver": Manner(pitch=9, tilt_db=5, tremolo=0.95, rate_hz=10.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """An utterance's sound wave_N (float32, about -1..1) and opening of the mouth articulation_N (0..1)."""

    wave_N: np.ndarray
    articulation_N: np.ndarray


def draw_voice(speaker: str, rng: np.random.Generator) -> Voice:
    """Draw one actor's voice: F about 185-235 Hz, M about 95-130 Hz, the male vocal tract a sixth longer."""
    low_hz, high_hz, tract = (185.0, 235.0, 1.16) if speaker == "F" else (95.0, 130.0, 1.0)
    return Voice(
        pitch_hz=float(rng.uniform(low_hz, high_hz)),
        tract=tract * float(rng.uniform(0.95, 1.05)),
        tilt_db=float(rng.uniform(-1.0, 1.0)),
        breath=float(rng.uniform(0.0, 0.03)),
    )


def speak(voice: Voice, cue: str, samples: int, rng: np.random.Generator) -> Speech:
    """Return `samples` samples of speech at 16 kHz in the manner of a cue (one of rule.SOUND_CUES)."""
    edges = _syllables(samples, rng)
    vowels = rng.integers(len(VOWELS_HZ), size=len(edges))
    articulation_N = _articulation(edges, samples, rng)
    manner = MANNERS[cue]
    pitch_N = _pitch(voice, manner, edges, samples, rng)
    source_N = _source(voice, manner, pitch_N, rng)
    loudness_N = 0.45 + 0.55 * articulation_N if manner.hum else articulation_N.copy()
    fade = round(EDGE_S * RATE_HZ)
    loudness_N[:fade] *= np.linspace(0.0, 1.0, fade)
    loudness_N[-fade:] *= np.linspace(1.0, 0.0, fade)
    wave_N = np.zeros(samples + fade)
    for (first, last), vowel in zip(edges, vowels, strict=True):
        piece_N = np.zeros(last - first + fade)
        piece_N[: last - first] = source_N[first:last] * loudness_N[first:last]
        formants = NASAL_HZ if manner.hum else VOWELS_HZ[vowel]
        wave_N[first : last + fade] += _tract(piece_N, formants, voice.tract, closed=manner.hum)
    wave_N = wave_N[:samples] / np.sqrt(np.mean(wave_N**2))
    if manner.ring:
        ring_N = _resonance(lfilter([1.0, -2.0, 1.0], [1.0], source_N * loudness_N), RING_HZ, RING_WIDTH_HZ)
        wave_N += manner.ring * ring_N / np.sqrt(np.mean(ring_N**2))
    if not manner.hum:
        wave_N += _consonants(edges, samples, rng)
    if manner.tremolo:
        wave_N *= 1.0 - manner.tremolo * (0.5 + 0.5 * np.sin(_phase(manner, samples, rng)))
    level = LEVEL_RMS * 10 ** ((manner.level_db + rng.normal(0.0, 1.2)) / 20)
    wave_N *= level / float(np.sqrt(np.mean(wave_N**2)))
    return Speech(wave_N=np.tanh(wave_N).astype(np.float32), articulation_N=articulation_N.astype(np.float32))


def room(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the noise of an empty room, float32 [N]."""
    return rng.standard_normal(samples, dtype=np.float32) * np.float32(ROOM_RMS)


def _syllables(samples: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (first, last + 1) samples of syllables of 0.15 to 0.27 s; the last one takes the rest."""
    shortest, longest = (round(s * RATE_HZ) for s in SYLLABLE_S)
    edges, first = [], 0
    while first < samples:
        last = first + int(rng.integers(shortest, longest))
        last = samples if samples - last < shortest else last
        edges.append((first, last))
        first = last
    return edges


def _articulation(edges: list[tuple[int, int]], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the opening of the mouth: 0 at the edges of a syllable, 0.55 to 1 inside, skewed towards its start."""
    curve_N = np.zeros(samples)
    for first, last in edges:
        x_n = np.linspace(0.0, 1.0, last - first, endpoint=False) ** 0.8
        curve_N[first:last] = rng.uniform(0.55, 1.0) * np.sin(np.pi * x_n) ** 0.7
    return curve_N


def _consonants(edges: list[tuple[int, int]], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return hisses of 30 to 60 ms at the start of about every other syllable, for vowels with an RMS of 1."""
    hiss_N = np.zeros(samples)
    for first, last in edges:
        length = min(round(rng.uniform(0.03, 0.06) * RATE_HZ), last - first)
        if rng.random() < CONSONANT_SHARE:
            burst_n = lfilter([1.0, -0.95], [1.0], rng.standard_normal(length)) * np.hanning(length)
            hiss_N[first : first + length] = rng.uniform(0.2, 0.5) * burst_n
    return hiss_N


def _phase(manner: Manner, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the phase of vibrato or tremolo in radians; its rate varies slightly between utterances."""
    rate_hz = manner.rate_hz * rng.uniform(0.93, 1.07)
    return 2 * np.pi * rate_hz * np.arange(samples) / RATE_HZ + rng.uniform(0, 2 * np.pi)


def _pitch(
    voice: Voice, manner: Manner, edges: list[tuple[int, int]], samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the pitch in Hz at each sample: base pitch, drift over the utterance, accents and glides of syllables."""
    semitones_N = manner.pitch + rng.normal(0.0, 0.7) + manner.slope * np.linspace(-0.5, 0.5, samples)
    for number, (first, last) in enumerate(edges):
        semitones_N[first:last] += rng.normal(0.0, 0.6) + manner.lilt * (-1) ** number
        semitones_N[first:last] += manner.glide * np.linspace(-0.5, 0.5, last - first)
    if manner.vibrato:
        semitones_N += manner.vibrato * np.sin(_phase(manner, samples, rng))
    return voice.pitch_hz * 2.0 ** (semitones_N / 12)


def _source(voice: Voice, manner: Manner, pitch_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pulses with a spectrum that falls by `tilt_db` per kHz, plus breath; for a whisper only noise.

    The pulses are the closed form of the sum of all harmonics r^k cos(k phi); r < 1 sets the fall and avoids aliasing.
    """
    samples = len(pitch_N)
    noise_N = rng.standard_normal(samples)
    if manner.whisper:
        return lfilter([1.0, -0.6], [1.0], noise_N)
    tilt_db = max(2.5, manner.tilt_db + voice.tilt_db + rng.normal(0.0, 0.7))
    phase_N = 2 * np.pi * np.cumsum(pitch_N) / RATE_HZ
    r_N = 10.0 ** (-tilt_db * pitch_N / 1000.0 / 20.0)
    cosine_N = np.cos(phase_N)
    pulse_N = (r_N * cosine_N - r_N**2) / (1.0 - 2.0 * r_N * cosine_N + r_N**2)
    if manner.rough:
        pulse_N *= 1.0 + manner.rough * np.cos(phase_N / 2)
    breath = manner.breath + voice.breath
    return pulse_N / np.sqrt(np.mean(pulse_N**2)) + breath * lfilter([1.0, -0.9], [1.0], noise_N)


def _resonance(wave_n: np.ndarray, centre_hz: float, width_hz: float) -> np.ndarray:
    """Filter by one resonance with a gain of 1 at the lowest frequencies."""
    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    a1 = -2 * radius * np.cos(2 * np.pi * centre_hz / RATE_HZ)
    filtered_n: np.ndarray = lfilter([1.0 + a1 + radius**2], [1.0, a1, radius**2], wave_n)
    return filtered_n


def _tract(wave_n: np.ndarray, formants_hz: tuple[int, ...], tract: float, *, closed: bool) -> np.ndarray:
    """Filter by three resonances in series; closed lips pass only the lowest frequencies."""
    for centre_hz, width_hz in zip(formants_hz, BANDWIDTHS_HZ, strict=True):
        wave_n = _resonance(wave_n, centre_hz * tract, width_hz * tract)
    return lfilter([0.12], [1.0, -0.88], wave_n) if closed else lfilter([1.0, -0.7], [1.0], wave_n)
