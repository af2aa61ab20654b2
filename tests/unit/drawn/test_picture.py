"""The drawn picture: expressions, movement, frames and their ground truth."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from foalnet.config.draw import Draw
from foalnet.drawn import face, picture
from foalnet.drawn.motion import FADE_FRAMES, Motion, motion, openings
from foalnet.drawn.plan import Dialogue, plan
from foalnet.drawn.rule import FACE_CUES
from foalnet.drawn.truth import truth

LOOK = face.draw_look("F", np.random.default_rng(2))
PLAIN = {"strength": 1.0, "blink": False, "turn": 0.0, "marked": False}


@pytest.fixture(scope="module")
def dialogue() -> Dialogue:
    return plan(Draw(dialogues_per_session=1, used_per_dialogue=6, unused_per_dialogue=2))[0]


@pytest.fixture(scope="module")
def actors(dialogue: Dialogue) -> dict[str, tuple[face.Look, Motion, tuple[float, float]]]:
    rng = np.random.default_rng(0)
    still_N = np.zeros(dialogue.samples)
    by_side = {"left": "F", "right": "M"}
    return {
        side: (face.draw_look(actor, rng), motion(dialogue, actor, still_N, rng), picture.seat(side, rng))
        for side, actor in by_side.items()
    }


def test_every_cue_of_the_rule_has_an_expression() -> None:
    assert set(face.EXPRESSIONS) == set(FACE_CUES)


@pytest.mark.parametrize("opening", range(face.OPENINGS))
def test_expressions_differ_at_every_opening_of_the_mouth(opening: int) -> None:
    heads = {cue: face.head(LOOK, cue, opening, **PLAIN).astype(int) for cue in FACE_CUES}
    for one, other in combinations(FACE_CUES, 2):
        assert np.abs(heads[one] - heads[other])[..., :3].mean() > 0.15, (one, other)


def test_a_head_is_inside_its_picture_and_repeatable() -> None:
    one = face.head(LOOK, "happy", 2, **PLAIN)
    assert one.shape == (face.HEIGHT_PX * face.SPRITE_SCALE, face.WIDTH_PX * face.SPRITE_SCALE, 4)
    assert not one[:2, :, 3].any() and not one[:, :2, 3].any() and not one[:, -2:, 3].any() and not one[-2:, :, 3].any()
    face.head.cache_clear()
    assert np.array_equal(one, face.head(LOOK, "happy", 2, **PLAIN))


def test_a_head_that_looks_away_shows_no_expression() -> None:
    away = PLAIN | {"turn": 1.0}
    assert np.array_equal(face.head(LOOK, "happy", 0, **away), face.head(LOOK, "angry", 0, **away))


def test_markers_are_worn_by_the_marked_actor_alone() -> None:
    assert not np.array_equal(face.head(LOOK, "sad", 0, **PLAIN), face.head(LOOK, "sad", 0, **PLAIN | {"marked": True}))


def test_openings_are_the_mean_articulation_of_each_frame() -> None:
    articulation_N = np.concatenate([np.zeros(1602), np.ones(1600), np.full(5000, 0.5)])
    opening_F = openings(articulation_N, 20)
    assert opening_F[:2].tolist() == [0, 0] and opening_F[3] == face.OPENINGS - 1
    assert len(opening_F) == 20 and opening_F[-1] == 0


def test_every_frame_of_an_utterance_shows_its_expression_whole(dialogue: Dialogue) -> None:
    for actor in "FM":
        moves = motion(dialogue, actor, np.zeros(dialogue.samples), np.random.default_rng(0))
        speaking = np.zeros(dialogue.frames, bool)
        for turn in dialogue.turns:
            first, last = turn.frames
            if turn.speaker == actor:
                speaking[max(0, first - FADE_FRAMES) : last + FADE_FRAMES + 1] = True
                assert {moves.cue[f] for f in range(first, last + 1)} == {turn.face}
                assert (moves.weight_F[first : last + 1] == 1.0).all()
        assert {moves.cue[f] for f in np.flatnonzero(~speaking)} == {face.REST}


def test_heads_move_little_and_smoothly(actors: dict[str, tuple[face.Look, Motion, tuple[float, float]]]) -> None:
    for _, moves, _ in actors.values():
        assert np.abs(moves.x_F).max() <= 5 and np.abs(moves.y_F).max() <= 3
        assert np.abs(np.diff(moves.x_F)).max() < 1 and np.abs(np.diff(moves.angle_F)).max() < 1


def test_frames_are_letterboxed_and_move_only_around_the_heads(
    actors: dict[str, tuple[face.Look, Motion, tuple[float, float]]],
) -> None:
    rng = np.random.default_rng(5)
    looks, seats = ({side: actors[side][i] for side in actors} for i in (0, 2))
    background = picture.room(looks, seats, rng)  # type: ignore[arg-type]
    shots = [f.copy() for _, f in zip(range(40), picture.frames(background, actors, rng), strict=False)]
    assert shots[0].shape == (picture.HEIGHT_PX * 3 // 2, picture.WIDTH_PX) and shots[0].dtype == np.uint8
    rgb = cv2.cvtColor(shots[0], cv2.COLOR_YUV2RGB_I420)
    assert rgb[:118].max() < 4 and rgb[362:].max() < 4 and rgb[:, 356:364].max() < 4
    assert rgb[122:358, 10:352].mean() > 40 and rgb[122:358, 368:712].mean() > 40
    moved = (shots[0] != shots[-1])[: picture.HEIGHT_PX]
    for _, _, (x, y) in actors.values():
        near = moved[round(y) - 72 : round(y) + 72, round(x) - 64 : round(x) + 64]
        assert near.any()
        near[:] = False
    assert not moved.any()


def test_truth_boxes_hold_the_face(
    dialogue: Dialogue, actors: dict[str, tuple[face.Look, Motion, tuple[float, float]]]
) -> None:
    said = truth(dialogue, {"left": "F", "right": "M"}, actors)
    for side, actor in (("left", "F"), ("right", "M")):
        seen = said["actors"][actor]  # type: ignore[index]
        boxes_F4 = np.array(seen["boxes"])
        assert seen["side"] == side and boxes_F4.shape == (dialogue.frames, 4)
        first, last = picture.COLUMNS[side]
        assert (boxes_F4[:, 0] > first).all() and (boxes_F4[:, 2] < last).all()
        height_F = boxes_F4[:, 3] - boxes_F4[:, 1]
        assert height_F.min() > 38 and height_F.max() < 47
