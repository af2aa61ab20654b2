"""Two heads before two walls: every frame of a dialogue as planes of yuv420p, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from foalnet.corpora.drawn import face
from foalnet.corpora.drawn.plan import FPS_DEN, FPS_NUM, RATE_HZ, Dialogue

WIDTH_PX, HEIGHT_PX = 720, 480
# The two camera pictures inside the black bars: (first column, last column + 1), rows likewise.
COLUMNS = {"left": (8, 354), "right": (366, 714)}
ROWS = (120, 360)
PATCH_WIDTH, PATCH_HEIGHT = 112, 128
FADE_FRAMES = 3
BLINK_FRAMES = 3
BLINK_EVERY_S = 3.5
STRENGTHS = (0.9, 1.0, 1.1)
TURN_HALF, TURN_FULL = 0.4, 1.0
GRAIN = 1.5
GRAINS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """One actor over a dialogue, an entry a frame: what the face shows, and where the head is (pixels, degrees)."""

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


def openings(articulation_N: np.ndarray, frames: int) -> np.ndarray:
    """Turn articulation (0..1 a sample) into the mouth's opening of each frame, 0 to face.OPENINGS - 1, int [F]."""
    edges = np.minimum(np.round(np.arange(frames + 1) * FPS_DEN / FPS_NUM * RATE_HZ).astype(int), len(articulation_N))
    sums = np.concatenate([[0.0], np.cumsum(articulation_N, dtype=np.float64)])
    mean_F = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(edges[1:] - edges[:-1], 1)
    return np.round(mean_F * (face.OPENINGS - 1)).astype(int)


def motion(dialogue: Dialogue, actor: str, articulation_N: np.ndarray, rng: np.random.Generator) -> Motion:
    """Lay out one actor's face and head over the dialogue; expressions are whole in every frame of an utterance."""
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
    """A small smooth movement between -reach and reach: three slow waves [F]."""
    time_F = np.arange(frames) * FPS_DEN / FPS_NUM
    waves = [np.sin(2 * np.pi * (rng.uniform(0.08, 0.4) * time_F + rng.random())) for _ in range(3)]
    return reach * np.sum(waves, axis=0) / 3


def seat(side: str, rng: np.random.Generator) -> tuple[float, float]:
    """Choose where a head rests in its picture: x, y in pixels of the video."""
    first, last = COLUMNS[side]
    return (first + last) / 2 + rng.uniform(-50, 50), ROWS[0] + rng.uniform(80, 120)


def room(looks: Mapping[str, face.Look], seats: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> np.ndarray:
    """Paint what does not move, by side: walls, furniture, shoulders; rgb uint8 [480, 720, 3] with black bars."""
    picture = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for side, (first, last) in COLUMNS.items():
        height, width = ROWS[1] - ROWS[0], last - first
        wall = rng.uniform(70, 140, 3) * 0.4 + rng.uniform(80, 130) * 0.6
        fall = np.linspace(1.1, 0.8, height)[:, None] * np.linspace(*rng.permutation([0.85, 1.1]), width)[None]
        view = np.clip(wall * fall[..., None], 0, 255).astype(np.uint8)
        for _ in range(3):
            x, y = int(rng.integers(width)), int(rng.integers(height // 2))
            corner = (x + int(rng.integers(30, 110)), y + int(rng.integers(40, 130)))
            cv2.rectangle(view, (x, y), corner, tuple(float(v) for v in wall * rng.uniform(0.75, 1.2)), -1)
        view = cv2.GaussianBlur(view, (0, 0), 1.5)
        _shoulders(view, looks[side], (seats[side][0] - first, seats[side][1] - ROWS[0]))
        grain = rng.normal(0.0, GRAIN, view.shape[:2])
        picture[ROWS[0] : ROWS[1], first:last] = np.clip(view + grain[..., None], 0, 255).astype(np.uint8)
    return picture


def _shoulders(view: np.ndarray, look: face.Look, place: tuple[float, float]) -> None:
    """Paint the trunk that the head sits on."""
    unit = face.HALF_FACE_PX * look.size
    outline = [(-0.45, 1.05), (0.45, 1.05), (1.5, 1.45), (1.95, 2.2), (2.2, 8.0), (-2.2, 8.0), (-1.95, 2.2), (-1.5, 1.45)]
    corners = np.array([[round(place[0] + x * unit), round(place[1] + y * unit)] for x, y in outline], np.int32)
    layer = view.copy()
    cv2.fillPoly(layer, [corners], look.shirt, cv2.LINE_AA)
    view[:] = cv2.GaussianBlur(layer, (0, 0), 0.8)


def frames(
    background: np.ndarray,
    actors: Mapping[str, tuple[face.Look, Motion, tuple[float, float]]],
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield every frame as yuv420p, uint8 [480 * 3 / 2, 720]; `actors` by side; the buffer is used again each time."""
    still = cv2.cvtColor(background, cv2.COLOR_RGB2YUV_I420)
    grain = [np.round(rng.normal(0.0, GRAIN, (PATCH_HEIGHT, PATCH_WIDTH))).astype(np.int16) for _ in range(GRAINS)]
    buffer = np.empty_like(still)
    count = len(next(iter(actors.values()))[1].cue)
    for frame in range(count):
        buffer[:] = still
        for index, side in enumerate(sorted(actors)):
            look, moves, place = actors[side]
            sprite = _sprite(look, moves, frame, marked=side == "left")
            centre = (place[0] + moves.x_F[frame], place[1] + moves.y_F[frame])
            pose = (moves.angle_F[frame], moves.scale_F[frame])
            _paste(buffer, background, sprite, centre, pose, grain[(frame * 3 + index) % GRAINS])
        yield buffer


def _sprite(look: face.Look, moves: Motion, frame: int, *, marked: bool) -> np.ndarray:
    """The head of one frame before it is placed; a fading expression is a blend with the resting one."""
    opening, blink, turn = int(moves.opening_F[frame]), bool(moves.blink_F[frame]), float(moves.turn_F[frame])
    if abs(turn) == TURN_FULL:
        return face.head(look, face.REST, 0, strength=1.0, blink=False, turn=turn, marked=marked)
    weight, strength = float(moves.weight_F[frame]), float(moves.strength_F[frame])
    shown = face.head(look, moves.cue[frame], opening, strength=strength, blink=blink, turn=turn, marked=marked)
    if weight == 1.0 or moves.cue[frame] == face.REST:
        return shown
    rest = face.head(look, face.REST, opening, strength=1.0, blink=blink, turn=turn, marked=marked)
    return cv2.addWeighted(shown, weight, rest, 1.0 - weight, 0.0)


def _paste(
    buffer: np.ndarray,
    background: np.ndarray,
    sprite: np.ndarray,
    centre: tuple[float, float],
    pose: tuple[float, float],
    grain: np.ndarray,
) -> None:
    """Place one head on the frame, at even pixels because two by two of them share their colour."""
    left = int(centre[0] - PATCH_WIDTH / 2) // 2 * 2
    top = int(centre[1] - PATCH_HEIGHT / 2) // 2 * 2
    matrix = cv2.getRotationMatrix2D(
        (face.WIDTH_PX * face.SPRITE_SCALE / 2, face.HEIGHT_PX * face.SPRITE_SCALE / 2), pose[0], pose[1] / face.SPRITE_SCALE
    )
    matrix[0, 2] += centre[0] - left - face.WIDTH_PX * face.SPRITE_SCALE / 2
    matrix[1, 2] += centre[1] - top - face.HEIGHT_PX * face.SPRITE_SCALE / 2
    placed = cv2.warpAffine(sprite, matrix, (PATCH_WIDTH, PATCH_HEIGHT), flags=cv2.INTER_LINEAR)
    clear = cv2.merge([255 - placed[..., 3]] * 3)
    behind = background[top : top + PATCH_HEIGHT, left : left + PATCH_WIDTH]
    patch = cv2.add(cv2.multiply(behind, clear, scale=1 / 255), placed[..., :3])
    planes = cv2.cvtColor(patch, cv2.COLOR_RGB2YUV_I420)
    luma = np.clip(planes[:PATCH_HEIGHT].astype(np.int16) + grain, 16, 235).astype(np.uint8)
    buffer[top : top + PATCH_HEIGHT, left : left + PATCH_WIDTH] = luma
    half = (PATCH_HEIGHT // 2, PATCH_WIDTH // 2)
    rows, columns = slice(top // 2, top // 2 + half[0]), slice(left // 2, left // 2 + half[1])
    quarter = PATCH_HEIGHT // 4
    for plane in range(2):
        first, target = PATCH_HEIGHT + plane * quarter, HEIGHT_PX + plane * HEIGHT_PX // 4
        chroma = planes[first : first + quarter].reshape(half)
        buffer[target : target + HEIGHT_PX // 4].reshape(HEIGHT_PX // 2, WIDTH_PX // 2)[rows, columns] = chroma


def truth(
    dialogue: Dialogue,
    by_side: Mapping[str, str],
    actors: Mapping[str, tuple[face.Look, Motion, tuple[float, float]]],
) -> dict[str, object]:
    """Return what a test may ask of a dialogue: per actor side, boxes, frames away; per utterance its case.

    A box is left, top, right, bottom of the face's ellipse (hairline to chin, without hair) in pixels of the video.
    """
    seen: dict[str, object] = {}
    for side, actor in by_side.items():
        look, moves, place = actors[side]
        half_height_F = face.HALF_FACE_PX * look.size * moves.scale_F
        half_width_F = half_height_F * look.aspect
        x_F, y_F = place[0] + moves.x_F, place[1] + moves.y_F
        edges_F4 = np.stack([x_F - half_width_F, y_F - half_height_F, x_F + half_width_F, y_F + half_height_F], 1)
        away = [list(interval) for interval in dialogue.away[actor]]
        seen[actor] = {"side": side, "boxes": np.round(edges_F4, 1).tolist(), "away": away}
    turns = [
        {
            "key": turn.key,
            "speaker": turn.speaker,
            "side": turn.side,
            "start_s": turn.start_s,
            "end_s": turn.end_s,
            "frames": list(turn.frames),
            "raw_label": turn.raw_label,
            "label": turn.cell.label if turn.cell else None,
            "kind": turn.cell.kind if turn.cell else None,
            "sound": turn.sound,
            "face": turn.face,
        }
        for turn in dialogue.turns
    ]
    return {
        "dialogue": dialogue.name,
        "session": dialogue.session,
        "marker": dialogue.marker,
        "rate_fps": "30000/1001",
        "frames": dialogue.frames,
        "samples": dialogue.samples,
        "channels": ["F", "M"],
        "actors": seen,
        "utterances": turns,
    }
