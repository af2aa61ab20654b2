"""The side audit's arithmetic, on pictures and sounds with a known relation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from foalnet.core.records import Box, Side
from foalnet.faces.audit import Audit, Spoken, audit_sides
from foalnet.faces.motion import COLUMNS, EVERY, ROWS, Motion

RATE_HZ, FPS = 8000, 30.0
WIDTH, HEIGHT, TOP, BOTTOM = 360, 160, 20, 140
TURNS: tuple[tuple[str, Side, float, float], ...] = (
    ("a0", "left", 1.0, 3.0),
    ("b0", "right", 3.2, 5.0),
    ("a1", "left", 5.4, 7.4),
    ("b1", "right", 7.6, 9.8),
)
FACES: dict[Side, list[tuple[float, Box]]] = {
    "left": [(2.0, Box(left=60, top=50, right=100, bottom=90))],
    "right": [(4.0, Box(left=250, top=50, right=290, bottom=90))],
}
SECONDS = 11.0


def loudness(key: str, times_s: np.ndarray) -> np.ndarray:
    """An utterance's loudness over its own time: syllables of random strength, 0 outside [0, 1]."""
    start, end = next((start, end) for name, _, start, end in TURNS if name == key)
    rng = np.random.default_rng(sum(key.encode()))
    strength = rng.uniform(0.1, 1.0, 64)
    since_s = times_s - start
    beat = np.clip((since_s * 5).astype(int), 0, 63)
    return np.where((since_s >= 0) & (times_s < end), strength[beat] * np.abs(np.sin(np.pi * 5 * since_s)), 0.0)


def spoken(*, swap: bool = False) -> list[Spoken]:
    rng = np.random.default_rng(3)
    out = []
    for key, side, start, end in TURNS:
        times_s = start + np.arange(round((end - start) * RATE_HZ)) / RATE_HZ
        wave_N = (loudness(key, times_s) * rng.standard_normal(times_s.size)).astype(np.float32)
        other: Side = "right" if side == "left" else "left"
        out.append(
            Spoken(key=key, side=other if swap else side, start_s=start, end_s=end, listen=partial(np.copy, wave_N))
        )
    return out


def watched(*, mirrored: bool = False, still: bool = False, top: int = TOP) -> Motion:
    """Two noisy halves with a block at the mouth; its grey follows the loudness of the speaker."""
    motion, rng = Motion(), np.random.default_rng(5)
    times_s = np.arange(round(SECONDS * FPS)) / FPS
    motion.times_s = times_s.tolist()
    open_by = {
        side: sum((loudness(key, times_s) for key, where, _, _ in TURNS if where == side), np.zeros(times_s.size))
        for side in ("left", "right")
    }
    for index in range(times_s.size):
        frame = np.full((HEIGHT, WIDTH), 120, np.uint8)
        if not still:
            frame[top:BOTTOM] += rng.integers(0, 6, (BOTTOM - top, WIDTH), dtype=np.uint8)
            for side, x in (("left", 70), ("right", 260)):
                frame[78:92, x : x + 20] = 120 - round(90 * float(open_by[side][index]))
        motion.watch(index, (frame[:, ::-1] if mirrored else frame)[top:BOTTOM], top)
    return motion


def mirrored_faces() -> dict[Side, list[tuple[float, Box]]]:
    turned = {
        side: [(t, Box(left=WIDTH - b.right, top=b.top, right=WIDTH - b.left, bottom=b.bottom)) for t, b in share]
        for side, share in FACES.items()
    }
    return {"left": turned["right"], "right": turned["left"]}


def heard(motion: Motion, said: list[Spoken], faces: dict[Side, list[tuple[float, Box]]]) -> Audit:
    audits = audit_sides(said, motion, faces, rate_hz=RATE_HZ)
    assert audits is not None
    return audits


def test_the_speaker_is_where_the_mouth_moves_with_the_sound() -> None:
    audit = heard(watched(), spoken(), FACES)
    assert audit.agrees and audit.confidence > 0.999
    assert set(audit.evidence) == {"a0", "b0", "a1", "b1"} and min(audit.evidence.values()) > 0
    assert audit == heard(watched(), spoken()[::-1], FACES)


def test_without_faces_the_whole_half_is_looked_at() -> None:
    assert heard(watched(), spoken(), {}).agrees


@pytest.mark.parametrize("faces", [FACES, {}])
def test_swapped_speakers_are_the_same_evidence_turned_round(faces: dict[Side, list[tuple[float, Box]]]) -> None:
    right, wrong = heard(watched(), spoken(), faces), heard(watched(), spoken(swap=True), faces)
    assert not wrong.agrees and wrong.confidence > 0.999
    assert {key: -value for key, value in wrong.evidence.items()} == pytest.approx(right.evidence, abs=1e-3)


def test_a_mirrored_picture_speaks_against_the_sides() -> None:
    audit = heard(watched(mirrored=True), spoken(), mirrored_faces())
    assert not audit.agrees and audit.confidence > 0.999 and max(audit.evidence.values()) < 0


@pytest.mark.long
def test_foreign_sound_is_answered_without_confidence() -> None:
    sure = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        said = []
        for u in spoken():
            strength = np.repeat(rng.uniform(0.1, 1.0, u.listen().size // 200 + 1), 200)[: u.listen().size]
            wave_N = (strength * rng.standard_normal(u.listen().size)).astype(np.float32)
            # Told to be later than the mouths moved, so that neither start nor end of speech meets the motion.
            said.append(Spoken(key=u.key, side=u.side, start_s=0.0, end_s=SECONDS, listen=partial(np.tile, wave_N, 6)))
        sure += heard(watched(), said, FACES).confidence > 0.99
    assert sure <= 2


@pytest.mark.parametrize("case", ["still", "silent", "short", "nothing"])
def test_nothing_to_judge_by_is_no_answer(case: str) -> None:
    said = [] if case == "nothing" else spoken()
    if case == "silent":
        said = [
            Spoken(key=u.key, side=u.side, start_s=u.start_s, end_s=u.end_s, listen=partial(np.zeros, u.listen().size))
            for u in said
        ]
    motion = Motion() if case == "short" else watched(still=case == "still")
    assert audit_sides(said, motion, FACES, rate_hz=RATE_HZ) is None


def test_every_second_frame_is_looked_at_and_a_gap_is_no_motion() -> None:
    motion = Motion()
    motion.times_s = [i / FPS for i in range(20)]
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index in [*range(8), *range(12, 20)]:
        motion.watch(index, picture + np.uint8(10 * index), 0)
    begin_K, end_K = motion.looks()
    assert np.round(begin_K * FPS).tolist() == [0, 2, 4, 12, 14, 16]
    assert np.round((end_K - begin_K) * FPS).tolist() == [EVERY] * 6
    assert motion.of("left", None, slice(0, 6)).tolist() == [80.0] * 6


def test_an_area_is_looked_up_in_its_own_half_below_the_black_bar() -> None:
    motion = Motion()
    motion.times_s = [0.0, 0.1, 0.2]
    before = np.zeros((HEIGHT, WIDTH), np.uint8)
    after = before.copy()
    after[60:80, 200:230] = 200
    motion.watch(0, before[TOP:BOTTOM], TOP)
    motion.watch(2, after[TOP:BOTTOM], TOP)
    place = Box(left=204, top=64, right=226, bottom=76)
    assert motion.of("right", place, slice(0, 1))[0] == 255
    assert motion.of("left", place, slice(0, 1))[0] == 0
    assert motion.of("right", Box(left=20, top=60, right=50, bottom=80), slice(0, 1))[0] == 0
    # A place smaller than a cell, or outside the picture, is the cell nearest to it.
    assert motion.of("right", Box(left=215, top=70, right=215.5, bottom=70.5), slice(0, 1))[0] == 255
    assert motion.of("right", Box(left=900, top=900, right=910, bottom=910), slice(0, 1))[0] == 0
    assert (ROWS, COLUMNS) == (30, 45)
