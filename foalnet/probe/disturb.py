"""Disturbs the clips of a test part: each disturbance changes one modality, and depends on keys and params alone.

Shape letters: N samples, F frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from foalnet.config.probing import Probe
from foalnet.config.variants import Modality
from foalnet.train.batches import Clip, Part, derived_seed

Change = Callable[[Clip, Sequence[Clip]], Clip]


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One disturbance: its name in tables, the modality that it changes, and how.

    `change` gets a clip and those of other speakers of the same test part; it returns the same object where it cannot
    change it. `otherwise`: why it can change no clip.
    """

    name: str
    modality: Modality
    change: Change
    otherwise: str


def disturbances(probe: Probe, rate_hz: int) -> tuple[Disturbance, ...]:
    """Return the disturbances of a probe, in the order of its tables."""
    silent, blind = "no utterance has audible sound", "no utterance has a picture"
    one_face, seed = "no test part has a picture of another speaker", probe.seed
    every: list[tuple[str, Modality, Change, str]] = [
        *((f"noise, SNR {db:g} dB", "audio", partial(noisy, snr_db=db, seed=seed), silent) for db in probe.snr_db),
        ("sound missing", "audio", partial(missing, modality="audio"), silent),
        ("picture missing", "video", partial(missing, modality="video"), blind),
        (
            f"{100 * probe.frames_missing:g} % of frames missing",
            "video",
            partial(thinned, share=probe.frames_missing, seed=seed),
            "no utterance has two frames",
        ),
        (f"sound {probe.shift_s:g} s late", "audio", partial(late, samples=round(probe.shift_s * rate_hz)), silent),
        ("wrong face", "video", partial(wrong_face, seed=seed), one_face),
    ]
    return tuple(Disturbance(name=name, modality=of, change=do, otherwise=why) for name, of, do, why in every)


def disturbed(
    clips: Mapping[str, Clip], speakers: Mapping[str, str], one: Disturbance
) -> tuple[dict[str, Clip], set[str]]:
    """Return the clips of one test part under a disturbance, and the keys of those that it changed."""
    with_picture = [clip for _, clip in sorted(clips.items()) if clip.has("video")]
    changed = {
        key: one.change(clip, [other for other in with_picture if speakers[other.key] != speakers[key]])
        for key, clip in clips.items()
    }
    return changed, {key for key, clip in changed.items() if clip is not clips[key]}


def noisy(clip: Clip, _others: Sequence[Clip], *, snr_db: float, seed: int) -> Clip:
    """Return the clip with white noise; its power is that of the whole sound divided by 10 ** (snr_db / 10).

    The noise is the same for every SNR but for its power. Samples may exceed 1: clipping would be another disturbance.
    """
    sound = clip.parts["audio"]
    power = float((sound.values.astype(np.float64) ** 2).mean())
    if not clip.has("audio") or power == 0.0:
        return clip
    noise_N = _generator("noise", seed, clip.key).standard_normal(len(sound.values))
    noise_N *= np.sqrt(power / 10 ** (snr_db / 10) / (noise_N**2).mean())
    return clip.put("audio", Part(values=(sound.values + noise_N).astype(np.float32), mask_T=sound.mask_T))


def missing(clip: Clip, _others: Sequence[Clip], *, modality: Modality) -> Clip:
    """Return the clip with a modality masked, as that of a silent sound or of a picture without a face is."""
    part = clip.parts[modality]
    if not clip.has(modality):
        return clip
    return clip.put(modality, Part(values=np.zeros_like(part.values), mask_T=np.zeros(len(part.mask_T), bool)))


def thinned(clip: Clip, _others: Sequence[Clip], *, share: float, seed: int) -> Clip:
    """Return the clip with a share of its valid frames masked, drawn at random and rounded down; one stays at least."""
    part = clip.parts["video"]
    valid = np.flatnonzero(part.mask_T)
    # The rounding keeps 0.7 of 10 frames at 7.
    count = min(int(round(share * len(valid), 6)), len(valid) - 1)
    if count < 1:
        return clip
    gone = _generator("frames", seed, clip.key).permutation(valid)[:count]
    values, mask_F = part.values.copy(), part.mask_T.copy()
    values[gone], mask_F[gone] = 0, False
    return clip.put("video", Part(values=values, mask_T=mask_F))


def late(clip: Clip, _others: Sequence[Clip], *, samples: int) -> Clip:
    """Return the clip with its sound so many samples later; what passes the end comes back at the start.

    So nothing of the sound is lost but its place in time.
    """
    sound = clip.parts["audio"]
    if not clip.has("audio") or samples % len(sound.values) == 0:
        return clip
    return clip.put("audio", Part(values=np.roll(sound.values, samples), mask_T=np.roll(sound.mask_T, samples)))


def wrong_face(clip: Clip, others: Sequence[Clip], *, seed: int) -> Clip:
    """Return the clip with the pictures of one of the others, drawn at random, cut or repeated to as many frames."""
    part = clip.parts["video"]
    if not clip.has("video") or not others:
        return clip
    other = others[int(_generator("face", seed, clip.key).integers(len(others)))].parts["video"]
    places = np.arange(len(part.mask_T)) % len(other.mask_T)
    return clip.put("video", Part(values=other.values[places], mask_T=other.mask_T[places]))


def _generator(what: str, seed: int, key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derived_seed("probe", what, seed, key)))
