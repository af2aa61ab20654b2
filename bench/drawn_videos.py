"""Draws videos for bench.faces with the drawn corpus' actors, one condition at a time, and returns their true boxes.

The drawn corpus itself does not change. The videos use its drawing code, add what it does not show (heads half turned,
a second person at the picture's edge, darkness, the smallest faces), and are written to a separate folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foalnet.config.draw import Draw
from foalnet.core.records import Box, Side, Utterance
from foalnet.corpora.iemocap.names import name_of
from foalnet.drawn import avi, face, picture
from foalnet.drawn.motion import TURN_FULL, Motion, motion
from foalnet.drawn.plan import ACTORS, FPS_DEN, FPS_NUM, Dialogue, plan, stream
from foalnet.drawn.truth import truth

# Seeds of the bench, different from those of the corpus.
PURPOSE = 90
SYLLABLES_HZ = 4.0
# Sensor noise of every video in grey levels; new in each frame, unlike the corpus' own grain.
NOISE = 2.0
NOISES = 8
DARK = 0.3
# Shift of the features of a three-quarter head in half face heights; at most this far both ears are drawn.
THREE_QUARTER = 0.3
SMALLEST_PX, LARGEST_PX = 35.0, 45.0
AWAY_FRAMES = (6, 15)
# Distance of the middle of a second person's face from the picture's edge, pixels.
GUEST_PX = 12
GUEST_SIZE = 1.05
SIDES: tuple[Side, ...] = ("left", "right")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a video differs from two actors who talk and look into the camera, without marks, in good light."""

    name: str
    turned: bool = False
    away: bool = False
    guest: bool = False
    marked: bool = False
    dark: bool = False
    small: bool = False
    still: bool = False


CONDITIONS = (
    Condition(name="frontal"),
    Condition(name="three-quarter", turned=True),
    Condition(name="looking away", away=True),
    Condition(name="second person", guest=True),
    Condition(name="head band", marked=True),
    Condition(name="dark", dark=True),
    Condition(name="35-45 px", small=True),
)
STILL = Condition(name="still", still=True)


@dataclass(frozen=True, kw_only=True)
class DrawnVideo:
    """One video of one condition: its utterances, and by utterance the true boxes of every frame.

    `boxes`: key -> the speaker's face, hairline to chin and ear to ear; `others`: key -> all other faces;
    `visible`: key -> per frame whether the speaker's face is visible.
    """

    path: Path
    utterances: tuple[Utterance, ...]
    boxes: dict[str, list[Box]]
    others: dict[str, list[list[Box]]]
    visible: dict[str, np.ndarray]


def draw_video(condition: Condition, folder: Path, *, session: int, utterances: int, seed: int = 1) -> DrawnVideo:
    """Draw and encode one dialogue of a session's two actors under a condition into `folder`; always the same bytes."""
    draw = Draw(seed=seed, dialogues_per_session=1, used_per_dialogue=utterances, unused_per_dialogue=0)
    dialogue = next(each for each in plan(draw) if each.session == session)
    rng = stream(seed, PURPOSE, session)
    dialogue = replace(dialogue, away=_away(dialogue, rng) if condition.away else dict.fromkeys(ACTORS, ()))
    by_side = {"left": dialogue.marker, "right": next(a for a in ACTORS if a != dialogue.marker)}
    actors = {side: _actor(condition, dialogue, actor, side, rng, seed) for side, actor in by_side.items()}
    guests = [(side, _guest(dialogue, side, actors[side], rng)) for side in SIDES] if condition.guest else []
    looks, seats = ({side: actors[side][part] for side in actors} for part in (0, 2))
    background = picture.room(looks, seats, rng, guests)  # type: ignore[arg-type]
    marked = SIDES if condition.marked else ()
    frames = picture.frames(background, actors, rng, marked=marked, guests=guests)
    path = folder / f"{condition.name.replace(' ', '_')}_{session}.avi"
    avi.encode(
        path,
        seen(frames, light=DARK if condition.dark else 1.0, rng=rng),
        width_px=picture.WIDTH_PX,
        height_px=picture.HEIGHT_PX,
        rate=draw.rate_fps,
    )
    facts = truth(dialogue, by_side, actors)["actors"]
    assert isinstance(facts, dict)
    return _video_of(path, dialogue, facts, actors, [truth_of(guest) for _, guest in guests])


def _actor(
    condition: Condition, dialogue: Dialogue, actor: str, side: str, rng: np.random.Generator, seed: int
) -> picture.Actor:
    """Return one actor of a video: the corpus' own look of the session, changed by the condition."""
    index = ACTORS.index(actor)
    look = face.draw_look(actor, stream(seed, dialogue.session, 10, index))
    if condition.small:
        # Ten actors, from the smallest to the largest in even steps.
        share = (2 * (dialogue.session - 1) + index) / 9
        look = replace(look, size=(SMALLEST_PX + share * (LARGEST_PX - SMALLEST_PX)) / (2 * face.HALF_FACE_PX))
    moves = motion(dialogue, actor, _syllables(dialogue, actor), rng)
    if condition.turned:
        moves = replace(moves, turn_F=np.full(dialogue.frames, THREE_QUARTER * float(rng.choice([-1.0, 1.0]))))
    if condition.still:
        moves = _stilled(moves)
    return look, moves, picture.seat(side, rng)


def _guest(dialogue: Dialogue, side: str, actor: picture.Actor, rng: np.random.Generator) -> picture.Actor:
    """Return a person cut by the inner edge of a side's picture, a little larger and lower than the actor."""
    look = face.draw_look(ACTORS[int(rng.integers(len(ACTORS)))], rng)
    moves = motion(replace(dialogue, turns=()), ACTORS[0], np.zeros(dialogue.samples, np.float32), rng)
    moves = replace(moves, turn_F=np.zeros(dialogue.frames))
    x = picture.COLUMNS[side][1] - GUEST_PX if side == "left" else picture.COLUMNS[side][0] + GUEST_PX
    return replace(look, size=GUEST_SIZE), moves, (x, actor[2][1] + 10.0)


def _stilled(moves: Motion) -> Motion:
    """Return the motion of a person who sits still and does not talk."""
    zeros = np.zeros_like(moves.x_F)
    return replace(
        moves,
        cue=[face.REST] * len(zeros),
        opening_F=np.zeros_like(moves.opening_F),
        blink_F=np.zeros_like(moves.blink_F),
        x_F=zeros,
        y_F=zeros,
        angle_F=zeros,
        scale_F=np.ones_like(zeros),
    )


def _syllables(dialogue: Dialogue, actor: str) -> np.ndarray:
    """Return how far an actor's mouth is open at each sample [N]: syllables of one length in the actor's turns."""
    rate = dialogue.samples / dialogue.seconds
    articulation_N = np.zeros(dialogue.samples, np.float32)
    for turn in dialogue.turns:
        if turn.speaker == actor:
            span = slice(round(turn.start_s * rate), round(turn.end_s * rate))
            time_N = np.arange(span.stop - span.start) / rate
            articulation_N[span] = np.abs(np.sin(np.pi * SYLLABLES_HZ * time_N))
    return articulation_N


def _away(dialogue: Dialogue, rng: np.random.Generator) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return the spans in which each speaker looks away: once per utterance, as long as in the corpus."""
    spans_of: dict[str, list[tuple[int, int]]] = {actor: [] for actor in ACTORS}
    for turn in dialogue.turns:
        first, last = turn.frames
        length = int(rng.integers(*AWAY_FRAMES))
        start = int(rng.integers(first, max(first + 1, last - length)))
        spans_of[turn.speaker].append((start, start + length))
    return {actor: tuple(spans) for actor, spans in spans_of.items()}


def seen(frames: Iterator[np.ndarray], *, light: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield yuv420p frames as a sensor in `light` (1: as drawn) records them, with new noise in every frame.

    The black bars are not recorded by a sensor and stay as they are.
    """
    height = picture.ROWS[1] - picture.ROWS[0]
    noise = np.round(rng.normal(0.0, NOISE, (NOISES, height, picture.WIDTH_PX))).astype(np.int16)
    luma_of, chroma_of = (
        np.clip(np.round(black + (np.arange(256) - black) * light), 0, 255).astype(np.uint8) for black in (16, 128)
    )
    for planes in frames:
        seen_now = np.concatenate(
            [cv2.LUT(planes[: picture.HEIGHT_PX], luma_of), cv2.LUT(planes[picture.HEIGHT_PX :], chroma_of)]
        )
        grain = np.roll(noise[int(rng.integers(NOISES))], int(rng.integers(picture.WIDTH_PX)), axis=1)
        for first, last in picture.COLUMNS.values():
            view = seen_now[picture.ROWS[0] : picture.ROWS[1], first:last]
            view[:] = cv2.add(view, grain[:, first:last], dtype=cv2.CV_8U)
        yield seen_now


def truth_of(guest: picture.Actor) -> list[Box]:
    """Return the true box of a second person per frame."""
    look, moves, (x, y) = guest
    half_F = face.HALF_FACE_PX * look.size * moves.scale_F
    across_F, x_F, y_F = half_F * look.aspect, x + moves.x_F, y + moves.y_F
    return [_box(row) for row in np.stack([x_F - across_F, y_F - half_F, x_F + across_F, y_F + half_F], axis=1)]


def _box(row: Any) -> Box:
    left, top, right, bottom = (float(edge) for edge in row)
    return Box(left=left, top=top, right=right, bottom=bottom)


def _video_of(
    path: Path,
    dialogue: Dialogue,
    facts: Mapping[str, Mapping[str, Any]],
    actors: Mapping[str, picture.Actor],
    guests: list[list[Box]],
) -> DrawnVideo:
    """Return the video with its true boxes by utterance; sides follow the corpus' rule, not the drawing."""
    boxes = {actor: [_box(row) for row in facts[actor]["boxes"]] for actor in ACTORS}
    turned = {actor: np.abs(actors[facts[actor]["side"]][1].turn_F) >= TURN_FULL for actor in ACTORS}
    utterances = [_utterance(dialogue, turn.key, turn.start_s, turn.end_s) for turn in dialogue.turns]
    letters = {u.key: name_of(u.key).letter for u in utterances}
    everybody = {key: [boxes[a] for a in ACTORS if a != letter] + guests for key, letter in letters.items()}
    return DrawnVideo(
        path=path,
        utterances=tuple(utterances),
        boxes={key: boxes[letter] for key, letter in letters.items()},
        others={key: [list(row) for row in zip(*boxes_of, strict=True)] for key, boxes_of in everybody.items()},
        visible={key: ~turned[letter] for key, letter in letters.items()},
    )


def _utterance(dialogue: Dialogue, key: str, start_s: float, end_s: float) -> Utterance:
    name = name_of(key)
    return Utterance(
        key=key,
        corpus="bench",
        session=f"Session{dialogue.session}",
        dialogue=dialogue.name,
        speaker=name.speaker,
        side=name.side,
        start_s=start_s,
        end_s=end_s,
        raw_label="neu",
        label="neutral",
    )


def frame_at(time_s: float) -> int:
    """Return the index of the frame that a drawn video shows at a time."""
    return round(time_s * FPS_NUM / FPS_DEN)
