"""Checks from sound and motion who sits in which half: the speaker's lips move when the loudness changes.

For every utterance the audit correlates the changes of the speaker's loudness with the motion around the mouth in the
speaker's half and in the other half. The evidence of a dialogue is the sum over its utterances of the difference of the
two (Fisher's z, times the root of the number of looks). The audit compares it with chance by shifting each utterance's
sound cyclically within its window by a random amount, SHIFTS times: motion and loudness stay the same and only lose
their alignment in time. docs/staging.md explains how to read the result.

Shapes: K pairs of looks, N samples, S shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.core.records import Box, Side
from foalnet.faces.motion import Motion

# The window extends this far before and after the utterance: a mouth at rest while its voice rests is evidence too.
PAD_S = 0.8
# The mouth moves between this share of a face box's height and this share below the box (a chin drops).
MOUTH_TOP, MOUTH_BELOW = 0.45, 0.25
# Added to the loudness, relative to the speaker's common one, before the logarithm, so that room noise has no effect.
QUIET = 0.05
COMMON = 2.0
FEWEST_LOOKS = 8
SHIFTS = 9999
SEED = 57
# Fisher's z of a perfect correlation is infinite.
MOST_R = 0.999
DIGITS = 4
OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """One utterance for the audit: its presumed half, its times in the video, its sound.

    `listen` returns the samples [N] and is called once, so that a long dialogue's sound is not in memory as a whole.
    """

    key: str
    side: Side
    start_s: float
    end_s: float
    listen: Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The result of comparing a dialogue's sound and motion with the presumed halves of its utterances.

    `agrees`: sound and motion support the presumed halves. `confidence`: the share of random shifts with weaker
    evidence for this result than the unshifted sound, from about 0.5 (no information) to 1. `evidence`: one value per
    judged utterance, above 0 if it supports its half.
    """

    agrees: bool
    confidence: float
    evidence: dict[str, float]


def audit_sides(
    spoken: Sequence[Spoken], motion: Motion, faces: Mapping[Side, Sequence[tuple[float, Box]]], *, rate_hz: int
) -> Audit | None:
    """Return the audit of a dialogue, None if no utterance has both sound and motion.

    `faces`: for each half, (time s, face box in source pixels); the face nearest in time determines where the mouth
    is, and without any face the audit uses the whole half. The same inputs give the same result.
    """
    begin_K, end_K = motion.looks()
    changes = {side: _changes([u for u in spoken if u.side == side], begin_K, end_K, rate_hz) for side in OTHER}
    generator = np.random.default_rng(SEED)
    total_S = np.zeros(1 + SHIFTS)
    evidence: dict[str, float] = {}
    for u in sorted(spoken, key=lambda u: u.key):
        pairs = _window(u, begin_K, end_K)
        curve_K = _curve(u, changes[u.side][pairs], motion, faces, pairs)
        if curve_K is None:
            continue
        evidence[u.key] = round(float(curve_K[0]), DIGITS)
        shifts_S = generator.integers(0, len(curve_K), SHIFTS)
        total_S += curve_K[np.concatenate([[0], shifts_S])]
    if not evidence:
        return None
    agrees = bool(total_S[0] > 0)
    for_it_S = total_S if agrees else -total_S
    chance = (1 + int((for_it_S[1:] >= for_it_S[0]).sum())) / (1 + SHIFTS)
    return Audit(agrees=agrees, confidence=round(1.0 - chance, DIGITS), evidence=evidence)


def _window(u: Spoken, begin_K: np.ndarray, end_K: np.ndarray) -> slice:
    first = int(np.searchsorted(begin_K, u.start_s - PAD_S, side="left"))
    stop = int(np.searchsorted(end_K, u.end_s + PAD_S, side="right"))
    return slice(first, max(first, stop))


def _changes(spoken: Sequence[Spoken], begin_K: np.ndarray, end_K: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the change of one speaker's log loudness between the two looks of each pair, [K]."""
    change_K = np.zeros(len(begin_K))
    energy, samples = 0.0, 0
    heard: list[tuple[slice, list[np.ndarray]]] = []
    for u in spoken:
        power_N = np.square(u.listen(), dtype=np.float64)
        energy, samples = energy + float(power_N.sum()), samples + power_N.size
        sums_N = np.concatenate([[0.0], np.cumsum(power_N)])
        pairs = _window(u, begin_K, end_K)
        reach_K = (end_K[pairs] - begin_K[pairs]) / 2
        at_the_looks = [loudness(sums_N, at_K - u.start_s, reach_K, rate_hz) for at_K in (begin_K[pairs], end_K[pairs])]
        heard.append((pairs, at_the_looks))
    if not energy:
        return change_K
    common = COMMON * np.sqrt(energy / samples)
    for pairs, at_the_looks in heard:
        before_K, after_K = (np.log(loudness_K / common + QUIET) for loudness_K in at_the_looks)
        # Where two utterances of one speaker overlap, the larger change counts.
        change_K[pairs] = np.maximum(change_K[pairs], np.abs(after_K - before_K))
    return change_K


def loudness(sums_N: np.ndarray, at_K: np.ndarray, reach_K: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the root mean square of the sound within `reach_K` (s) of the times `at_K` (s), with silence around it."""
    last = len(sums_N) - 1
    first_K = np.clip(np.round((at_K - reach_K) * rate_hz), 0, last).astype(np.int64)
    stop_K = np.clip(np.round((at_K + reach_K) * rate_hz), 0, last).astype(np.int64)
    whole_K = np.maximum(2 * reach_K * rate_hz, 1.0)
    return np.sqrt(np.maximum(sums_N[stop_K] - sums_N[first_K], 0.0) / whole_K)


def _curve(
    u: Spoken,
    change_K: np.ndarray,
    motion: Motion,
    faces: Mapping[Side, Sequence[tuple[float, Box]]],
    pairs: slice,
) -> np.ndarray | None:
    """Return the evidence of an utterance for every shift of its sound, [K], starting with no shift.

    None if the utterance has too few looks, if its sound is silent, or if neither half moves.
    """
    if len(change_K) < FEWEST_LOOKS:
        return None
    heard_K = normal(change_K)
    middle_s = (u.start_s + u.end_s) / 2
    halves = []
    for side in (u.side, OTHER[u.side]):
        halves.append(normal(motion.of(side, _mouth(faces.get(side, ()), middle_s), pairs)))
    if not heard_K.any() or not any(half_K.any() for half_K in halves):
        return None
    own_K, other_K = (_correlations(heard_K, half_K) for half_K in halves)
    return np.sqrt(len(change_K)) * (np.arctanh(own_K) - np.arctanh(other_K))


def normal(values_K: np.ndarray) -> np.ndarray:
    """Return the values minus their mean, scaled to unit length; zeros if they do not vary."""
    about_K = values_K - values_K.mean()
    length = float(np.sqrt(np.square(about_K).sum()))
    return about_K / length if length > 1e-9 else np.zeros_like(about_K)


def _correlations(heard_K: np.ndarray, moved_K: np.ndarray) -> np.ndarray:
    """Return the correlation of motion with the sound shifted by 0, 1, … K - 1 looks, limited to +-MOST_R."""
    products = np.fft.rfft(moved_K) * np.conj(np.fft.rfft(heard_K))
    return np.clip(np.fft.irfft(products, len(heard_K)), -MOST_R, MOST_R)


def _mouth(faces: Sequence[tuple[float, Box]], at_s: float) -> Box | None:
    """Return the mouth area of the face nearest in time, None if no face is known."""
    if not faces:
        return None
    _, box = min(faces, key=lambda one: (abs(one[0] - at_s), one[0]))
    height = box.bottom - box.top
    return Box(
        left=box.left, top=box.top + MOUTH_TOP * height, right=box.right, bottom=box.bottom + MOUTH_BELOW * height
    )
