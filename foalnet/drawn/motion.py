"""Plans the motion of an actor's face and head through a dialogue, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from foalnet.drawn import face
from foalnet.drawn.plan import FPS_DEN, FPS_NUM, RATE_HZ, Dialogue

FADE_FRAMES = 3
BLINK_FRAMES = 3
BLINK_EVERY_S = 3.5
STRENGTHS = (0.9, 1.0, 1.1)
TURN_HALF, TURN_FULL = 0.4, 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """The motion of one actor, one entry per frame: expression of the face, position of the head (pixels, degrees)."""

    cue: list[str]
    weight_F: np.ndarray
    strength_F: np.ndarray
    opening_F: np.ndarray
    blink_F: np.ndarray
    turn_F: np.ndarray
    x_F: np.ndarray
    y_F: np.ndarray
    angle_F: np.ndarray
    scale_F: np.ndarray

    def subsampled(self, step: int) -> Motion:
        """Return the motion of every `step`-th frame."""
        return Motion(**{each.name: getattr(self, each.name)[::step] for each in fields(self)})


def openings(articulation_N: np.ndarray, frames: int) -> np.ndarray:
    """Return the mouth's opening in each frame, int [F] from 0 to face.OPENINGS - 1, for articulation from 0 to 1."""
    edges = np.minimum(np.round(np.arange(frames + 1) * FPS_DEN / FPS_NUM * RATE_HZ).astype(int), len(articulation_N))
    sums = np.concatenate([[0.0], np.cumsum(articulation_N, dtype=np.float64)])
    mean_F = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(edges[1:] - edges[:-1], 1)
    return np.round(mean_F * (face.OPENINGS - 1)).astype(int)


def motion(dialogue: Dialogue, actor: str, articulation_N: np.ndarray, rng: np.random.Generator) -> Motion:
    """Return the motion of one actor; the expression has its full weight in every frame of an utterance."""
    frames = dialogue.frames
    cue, weight_F, strength_F = [face.REST] * frames, np.zeros(frames), np.ones(frames)
    for turn in dialogue.turns:
        if turn.speaker != actor:
            continue
        first, last = turn.frames
        strength = STRENGTHS[int(rng.integers(len(STRENGTHS)))]
        for frame in range(max(0, first - FADE_FRAMES), min(frames, last + FADE_FRAMES + 1)):
            distance = max(first - frame, frame - last, 0)
            cue[frame], strength_F[frame] = turn.face, strength
            weight_F[frame] = 1.0 - distance / (FADE_FRAMES + 1)
    blink_F = np.zeros(frames, bool)
    for _ in range(round(frames / (BLINK_EVERY_S * FPS_NUM / FPS_DEN))):
        first = int(rng.integers(frames))
        blink_F[first : first + BLINK_FRAMES] = True
    turn_F = np.zeros(frames)
    for first, last in dialogue.away[actor]:
        way = float(rng.choice([-1.0, 1.0]))
        turn_F[max(0, first - 1) : last + 2] = way * TURN_HALF
        turn_F[max(0, first) : last + 1] = way * TURN_FULL
    return Motion(
        cue=cue,
        weight_F=weight_F,
        strength_F=strength_F,
        opening_F=openings(articulation_N, frames),
        blink_F=blink_F,
        turn_F=turn_F,
        x_F=_drift(frames, 5.0, rng),
        y_F=_drift(frames, 3.0, rng),
        angle_F=_drift(frames, 4.0, rng),
        scale_F=1.0 + _drift(frames, 0.02, rng),
    )


def _drift(frames: int, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth movement [F] between -reach and reach: the mean of three slow waves."""
    time_F = np.arange(frames) * FPS_DEN / FPS_NUM
    waves = [np.sin(2 * np.pi * (rng.uniform(0.08, 0.4) * time_F + rng.random())) for _ in range(3)]
    return reach * np.sum(waves, axis=0) / 3
