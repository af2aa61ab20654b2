"""Draws the frames of a dialogue as yuv420p: two heads, each in front of its own wall."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import cv2
import numpy as np

from foalnet.drawn import face
from foalnet.drawn.motion import TURN_FULL, Motion

# One person in the picture: look, motion, and resting position of the head (x, y in pixels of the video).
Actor = tuple[face.Look, Motion, tuple[float, float]]

WIDTH_PX, HEIGHT_PX = 720, 480
# The two camera pictures inside the black bars: (first column, last column + 1), rows likewise.
COLUMNS = {"left": (8, 354), "right": (366, 714)}
ROWS = (120, 360)
PATCH_WIDTH, PATCH_HEIGHT = 112, 128
GRAIN = 1.5
GRAINS = 8


def seat(side: str, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the resting position of a head on one side: x, y in pixels of the video."""
    first, last = COLUMNS[side]
    return (first + last) / 2 + rng.uniform(-50, 50), ROWS[0] + rng.uniform(80, 120)


def room(
    looks: Mapping[str, face.Look],
    seats: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
    guests: Sequence[tuple[str, Actor]] = (),
) -> np.ndarray:
    """Return the static background: walls, furniture, shoulders; rgb uint8 [480, 720, 3] with black bars.

    `guests`: (side, person) for further people; they use no random numbers.
    """
    picture = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for side, (first, last) in COLUMNS.items():
        height, width = ROWS[1] - ROWS[0], last - first
        wall = rng.uniform(70, 140, 3) * 0.4 + rng.uniform(80, 130) * 0.6
        left_light = 0.85 if rng.random() < 0.5 else 1.1
        fall = np.linspace(1.1, 0.8, height)[:, None] * np.linspace(left_light, 1.95 - left_light, width)[None]
        view: np.ndarray = np.clip(wall * fall[..., None], 0, 255).astype(np.uint8)
        for _ in range(3):
            x, y = int(rng.integers(width)), int(rng.integers(height // 2))
            corner = (x + int(rng.integers(30, 110)), y + int(rng.integers(40, 130)))
            cv2.rectangle(view, (x, y), corner, tuple(float(v) for v in wall * rng.uniform(0.75, 1.2)), -1)
        view = cv2.GaussianBlur(view, (0, 0), 1.5)
        for look, place in [(g[0], g[2]) for at, g in guests if at == side] + [(looks[side], seats[side])]:
            _shoulders(view, look, (place[0] - first, place[1] - ROWS[0]))
        grain = rng.normal(0.0, GRAIN, view.shape[:2])
        picture[ROWS[0] : ROWS[1], first:last] = np.clip(view + grain[..., None], 0, 255).astype(np.uint8)
    return picture


def _shoulders(view: np.ndarray, look: face.Look, place: tuple[float, float]) -> None:
    """Paint the shoulders below a head."""
    unit = face.HALF_FACE_PX * look.size
    outline = [
        (-0.45, 1.05),
        (0.45, 1.05),
        (1.5, 1.45),
        (1.95, 2.2),
        (2.2, 8.0),
        (-2.2, 8.0),
        (-1.95, 2.2),
        (-1.5, 1.45),
    ]
    corners = np.array([[round(place[0] + x * unit), round(place[1] + y * unit)] for x, y in outline], np.int32)
    layer = view.copy()
    cv2.fillPoly(layer, [corners], look.shirt, cv2.LINE_AA)
    view[:] = cv2.GaussianBlur(layer, (0, 0), 0.8)


def frames(
    background: np.ndarray,
    actors: Mapping[str, Actor],
    rng: np.random.Generator,
    *,
    marked: Collection[str] = ("left",),
    guests: Sequence[tuple[str, Actor]] = (),
) -> Iterator[np.ndarray]:
    """Yield every frame as yuv420p, uint8 [480 * 3 / 2, 720], always in the same buffer; `actors`: side -> person.

    `marked`: the sides whose actors wear head band and dots. `guests`: (side, person) behind that side's actor, cut off
    at the edge of the side's picture. Both are for tests of detectors; the corpus uses the defaults.
    """
    still = cv2.cvtColor(background, cv2.COLOR_RGB2YUV_I420)
    grain = [np.round(rng.normal(0.0, GRAIN, (PATCH_HEIGHT, PATCH_WIDTH))).astype(np.int16) for _ in range(GRAINS)]
    buffer = np.empty_like(still)
    count = len(next(iter(actors.values()))[1].cue)
    for frame in range(count):
        buffer[:] = still
        for index, (side, guest) in enumerate(guests):
            before = buffer.copy()
            _place(buffer, background, guest, frame, marked=False, grain=grain[(frame * 3 + index + 5) % GRAINS])
            _cut(buffer, before, side)
        behind = cv2.cvtColor(buffer, cv2.COLOR_YUV2RGB_I420) if guests else background
        for index, side in enumerate(sorted(actors)):
            grains = grain[(frame * 3 + index) % GRAINS]
            _place(buffer, behind, actors[side], frame, marked=side in marked, grain=grains)
        yield buffer


def _place(
    buffer: np.ndarray, behind: np.ndarray, actor: Actor, frame: int, *, marked: bool, grain: np.ndarray
) -> None:
    """Draw one person's head of one frame into the buffer."""
    look, moves, place = actor
    sprite = _sprite(look, moves, frame, marked=marked)
    centre = (place[0] + moves.x_F[frame], place[1] + moves.y_F[frame])
    _paste(buffer, behind, sprite, centre, (moves.angle_F[frame], moves.scale_F[frame]), grain)


def _cut(buffer: np.ndarray, before: np.ndarray, side: str) -> None:
    """Restore the pixels outside one side's picture that a guest at its edge has covered."""
    first, last = (edge // 2 * 2 for edge in COLUMNS[side])
    for outside in (slice(0, first), slice(last, WIDTH_PX)):
        buffer[:HEIGHT_PX, outside] = before[:HEIGHT_PX, outside]
        half = slice((outside.start or 0) // 2, outside.stop // 2)
        for plane in range(2):
            rows = slice(HEIGHT_PX + plane * HEIGHT_PX // 4, HEIGHT_PX + (plane + 1) * HEIGHT_PX // 4)
            views = [planes[rows].reshape(HEIGHT_PX // 2, WIDTH_PX // 2) for planes in (buffer, before)]
            views[0][:, half] = views[1][:, half]


def _sprite(look: face.Look, moves: Motion, frame: int, *, marked: bool) -> np.ndarray:
    """Return the head of one frame; a fading expression is blended with the resting one."""
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
    """Draw one head into the frame, at even pixels because two by two pixels share their chroma."""
    left = int(centre[0] - PATCH_WIDTH / 2) // 2 * 2
    top = int(centre[1] - PATCH_HEIGHT / 2) // 2 * 2
    matrix = cv2.getRotationMatrix2D(
        (face.WIDTH_PX * face.SPRITE_SCALE / 2, face.HEIGHT_PX * face.SPRITE_SCALE / 2),
        pose[0],
        pose[1] / face.SPRITE_SCALE,
    )
    matrix[0, 2] += centre[0] - left - face.WIDTH_PX * face.SPRITE_SCALE / 2
    matrix[1, 2] += centre[1] - top - face.HEIGHT_PX * face.SPRITE_SCALE / 2
    placed = cv2.warpAffine(sprite, matrix, (PATCH_WIDTH, PATCH_HEIGHT), flags=cv2.INTER_LINEAR)
    clear = cv2.merge([255 - placed[..., 3]] * 3)
    behind = background[top : top + PATCH_HEIGHT, left : left + PATCH_WIDTH]
    # A copy without alpha first: on a view of three of four channels, `add` takes ten times as long.
    patch = cv2.add(cv2.multiply(behind, clear, scale=1 / 255), cv2.cvtColor(placed, cv2.COLOR_RGBA2RGB))
    planes = cv2.cvtColor(patch, cv2.COLOR_RGB2YUV_I420)
    luma = cv2.add(planes[:PATCH_HEIGHT], grain, dtype=cv2.CV_16S)
    buffer[top : top + PATCH_HEIGHT, left : left + PATCH_WIDTH] = np.clip(luma, 16, 235, out=luma)
    half = (PATCH_HEIGHT // 2, PATCH_WIDTH // 2)
    rows, columns = slice(top // 2, top // 2 + half[0]), slice(left // 2, left // 2 + half[1])
    quarter = PATCH_HEIGHT // 4
    for plane in range(2):
        first, target = PATCH_HEIGHT + plane * quarter, HEIGHT_PX + plane * HEIGHT_PX // 4
        chroma = planes[first : first + quarter].reshape(half)
        buffer[target : target + HEIGHT_PX // 4].reshape(HEIGHT_PX // 2, WIDTH_PX // 2)[rows, columns] = chroma
