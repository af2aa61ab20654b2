"""Which mouth moves with the sound: arithmetic on pictures and sounds with a known relation."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.core.records import Box
from foalnet.faces.speaker import LAG_S, LOOK_S, Mouth, Shots, Speaking, speaking
from tests.support.talkers import FPS, FRAMES, RATE_HZ, SECONDS, sound, voice

TIMES_S = np.arange(FRAMES) / FPS
BOX = Box(left=40, top=30, right=100, bottom=90)


def mouth(
    follows: int | None = None,
    *,
    moves: float = 0.0,
    noise: float = 2.0,
    seed: int = 0,
    rate: int = FPS,
    first: int = 0,
    stop: int = 10**6,
) -> Mouth:
    """Return the mouth of a face that follows a voice; `moves`: pixels that the whole head sways, its box with it."""
    rng, watched = np.random.default_rng(seed), Mouth()
    times_s = np.arange(round(SECONDS * rate)) / rate
    opens = np.zeros(len(times_s)) if follows is None else voice(follows, times_s)
    texture = np.repeat(np.repeat(rng.integers(60, 200, (30, 40)), 6, 0), 6, 1).astype(np.float64)
    for index, time_s in enumerate(times_s):
        if not first <= index < stop:
            continue
        shift = round(moves * np.sin(2 * np.pi * 0.9 * time_s))
        picture = np.roll(texture, shift, axis=1)
        picture[72:84, 58 + shift : 82 + shift] = 120 - 100 * opens[index]
        picture = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
        box = Box(left=BOX.left + shift, top=BOX.top, right=BOX.right + shift, bottom=BOX.bottom)
        watched.watch(float(time_s), picture, box)
    return watched


def judged(mouths: list[Mouth], wave_N: np.ndarray, start_s: float = 0.0) -> Speaking:
    result = speaking(mouths, wave_N, rate_hz=RATE_HZ, start_s=start_s)
    assert result is not None
    return result


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_mouth_that_follows_the_sound_leads_whatever_its_place(seed: int) -> None:
    talks, rests, other = mouth(seed), mouth(None, seed=1), mouth(seed + 50, seed=2)
    for mouths in ([talks, rests], [rests, talks], [rests, other, talks], [other, talks]):
        result = judged(mouths, sound(seed))
        assert mouths[result.first] is talks and result.confidence > 0.8
        assert max(result.own) == result.own[result.first] > 0.8


@pytest.mark.parametrize("moves", [6.0, 20.0])
def test_a_head_that_sways_does_not_lead(moves: float) -> None:
    result = judged([mouth(None, moves=moves), mouth(3, seed=4)], sound(3))
    assert result.first == 1 and result.confidence > 0.8


def test_a_speaker_who_sways_is_still_the_speaker() -> None:
    assert judged([mouth(None), mouth(3, moves=6.0, seed=4)], sound(3)).first == 1


@pytest.mark.parametrize("late_s", [-LAG_S, -0.08, 0.08, LAG_S])
def test_sound_may_be_late_or_early_by_the_lag(late_s: float) -> None:
    result = judged([mouth(None), mouth(2, seed=4)], sound(2, late_s))
    assert result.first == 1 and result.confidence > 0.8


def test_the_start_of_the_utterance_moves_the_sound() -> None:
    talks, rests = Mouth(), Mouth()
    talks.moved = {(a + 5.0, b + 5.0): moved for (a, b), moved in mouth(2, seed=4).moved.items()}
    rests.moved = {(a + 5.0, b + 5.0): moved for (a, b), moved in mouth(None).moved.items()}
    result = judged([rests, talks], sound(2), start_s=5.0)
    assert result == judged([mouth(None), mouth(2, seed=4)], sound(2)) and result.first == 1


def test_mouths_that_move_alike_and_voices_of_others_give_no_confidence() -> None:
    alike = judged([mouth(3, seed=1), mouth(3, seed=2)], sound(3))
    assert alike.confidence == 0.0 and min(alike.own) > 0.8
    shut = judged([mouth(None, seed=1), mouth(None, seed=2)], sound(3))
    assert shut.confidence <= 0.8


def test_chance_is_rarely_sure() -> None:
    """Of mouths that follow other voices than the sound, about one in five is above 0.8 by definition."""
    mouths = [mouth(seed, seed=seed) for seed in range(20, 34)]
    sure = [judged([mouths[i], mouths[i + 1]], sound(60 + i)).confidence > 0.8 for i in range(13)]
    assert sum(sure) <= 6


def test_without_sound_or_with_few_frames_nothing_is_judged() -> None:
    mouths = [mouth(None), mouth(2)]
    assert speaking(mouths, np.zeros(RATE_HZ, np.float32), rate_hz=RATE_HZ, start_s=0.0) is None
    assert speaking(mouths, np.zeros(0, np.float32), rate_hz=RATE_HZ, start_s=0.0) is None
    short = [mouth(None, stop=6), mouth(2, stop=6)]
    assert speaking(short, sound(2), rate_hz=RATE_HZ, start_s=0.0) is None


def test_a_face_seen_for_a_few_frames_has_no_evidence() -> None:
    result = judged([mouth(None), mouth(2, stop=6), mouth(2, seed=4)], sound(2))
    assert result.first == 2 and result.own[1] == 0.0


def test_a_face_seen_in_a_part_is_judged_by_that_part() -> None:
    result = judged([mouth(None), mouth(2, seed=4, first=20, stop=75)], sound(2))
    assert result.first == 1 and result.confidence > 0.8


def test_at_higher_rates_looks_stay_as_far_apart() -> None:
    fast = mouth(2, seed=4, rate=120)
    assert min(b - a for a, b in fast.moved) >= LOOK_S - 1e-9 and len(fast.moved) <= SECONDS / LOOK_S
    result = judged([mouth(None, rate=120), fast], sound(2))
    assert result.first == 1 and result.confidence > 0.8


def test_a_frame_without_the_face_breaks_the_chain_of_looks() -> None:
    watched = Mouth()
    for index in range(10):
        watched.watch(index / FPS, np.zeros((120, 120), np.uint8), None if index == 5 else BOX)
    assert [(round(a * FPS), round(b * FPS)) for a, b in watched.moved] == [
        (a, a + 1) for a in range(9) if a not in (4, 5)
    ]


def test_a_box_at_or_beyond_the_edge_of_the_picture_is_measured() -> None:
    for box in (Box(left=-50, top=-60, right=10, bottom=5), Box(left=100, top=100, right=190, bottom=190)):
        watched = Mouth()
        for index in range(3):
            watched.watch(index / FPS, np.full((120, 120), 40 * index, np.uint8), box)
        assert len(watched.moved) == 2 and all(np.isfinite(moved) for moved in watched.moved.values())


def test_a_shot_begins_where_the_whole_picture_changes() -> None:
    shots, rng = Shots(), np.random.default_rng(1)
    pictures = [rng.integers(30, 220, (18, 32)).repeat(10, 0).repeat(10, 1).astype(np.uint8) for _ in range(2)]
    for frame in range(30):
        picture = pictures[frame >= 12].copy()
        # A person moves within the shot.
        picture[60:120, 3 * frame : 3 * frame + 60] = 128
        shots.watch(frame, picture)
    assert shots.cuts == [12]
