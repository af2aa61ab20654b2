"""Draws a head with an actor's look and the expression of a face cue, as a small picture with alpha.

Heads are drawn at four times their size, blurred and halved twice. The unit of all shapes is the half height of the
face (hairline to chin); x grows to the right of the picture, y downwards, (0, 0) is the middle of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

# Size of a head's picture, and half height of the face in it before its actor's factor `size`, in pixels of the video.
WIDTH_PX, HEIGHT_PX = 96, 112
HALF_FACE_PX = 21.5
DRAW_SCALE, SPRITE_SCALE = 4, 2
ASPECT = 0.77
BLUR_PX = 0.45
OPENINGS = 6
Point = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The look of one actor; colours are RGB 0..255, `light` is -1 (lit from the left) or 1."""

    skin: Colour
    hair: Colour
    shirt: Colour
    size: float
    aspect: float
    eye_gap: float
    brow_px: float
    long_hair: bool
    light: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """The expression of a face for one cue; lengths in half face heights.

    `curve`: mouth corners raised (negative: lowered); `width`: half the mouth's; `gap` and `gain`: its opening when
    silent, and added at the loudest; `teeth`; `brow`: raised; `slant`: inner ends lowered (negative: raised);
    `lid`: 1 open, 0 shut.
    """

    curve: float
    width: float
    gap: float
    gain: float
    teeth: float
    brow: float
    slant: float
    lid: float


EXPRESSIONS = {
    "happy": Expression(curve=0.22, width=0.38, gap=0.07, gain=0.14, teeth=1.0, brow=0.06, slant=-0.02, lid=0.8),
    "neutral": Expression(curve=0.0, width=0.27, gap=0.02, gain=0.16, teeth=0.3, brow=0.0, slant=0.0, lid=1.0),
    "sad": Expression(curve=-0.2, width=0.27, gap=0.02, gain=0.14, teeth=0.0, brow=0.04, slant=-0.16, lid=0.55),
    "angry": Expression(curve=-0.06, width=0.33, gap=0.1, gain=0.12, teeth=1.0, brow=-0.08, slant=0.2, lid=0.8),
    "blank": Expression(curve=0.0, width=0.15, gap=0.2, gain=0.14, teeth=0.0, brow=0.05, slant=0.0, lid=1.0),
    "pout": Expression(curve=0.0, width=0.1, gap=0.0, gain=0.1, teeth=0.0, brow=0.2, slant=-0.04, lid=1.6),
    "wince": Expression(curve=0.0, width=0.5, gap=0.2, gain=0.12, teeth=1.0, brow=-0.12, slant=0.02, lid=0.0),
}
REST = "neutral"
# Positions of the dots of motion capture.
DOTS = ((-0.45, 0.12), (0.45, 0.12), (-0.5, 0.42), (0.5, 0.42), (-0.3, -0.6), (0.0, -0.6), (0.3, -0.6), (0.0, 0.86))


def draw_look(speaker: str, rng: np.random.Generator) -> Look:
    """Draw one actor's look."""
    tone, hair = rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0)
    skin = np.array([232, 190, 160]) * (1 - 0.28 * tone) + rng.uniform(-5, 5, 3)
    dark = np.array([38, 30, 28]) * (1 - hair) + np.array([112, 78, 46]) * hair
    shirt = rng.uniform(50, 150) * 0.6 + rng.uniform(30, 170, 3) * 0.4
    return Look(
        skin=_colour(skin),
        hair=_colour(dark),
        shirt=_colour(shirt),
        size=float(rng.uniform(0.94, 1.05)),
        aspect=ASPECT * float(rng.uniform(0.96, 1.05)),
        eye_gap=float(rng.uniform(0.29, 0.33)),
        brow_px=float(rng.uniform(1.5, 2.1)),
        long_hair=speaker == "F",
        light=int(rng.choice([-1, 1])),
    )


def _colour(values: np.ndarray) -> Colour:
    return float(values[0]), float(values[1]), float(values[2])


class Pen:
    """Draws shapes in units of the half face height at DRAW_SCALE; `turn` moves features towards one side."""

    def __init__(self, look: Look, turn: float) -> None:
        self.unit = HALF_FACE_PX * look.size * DRAW_SCALE
        self.turn = turn
        self.centre = (WIDTH_PX * DRAW_SCALE / 2, HEIGHT_PX * DRAW_SCALE / 2)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Return a point of the face in drawing pixels."""
        return round(self.centre[0] + (x + self.turn) * self.unit), round(self.centre[1] + y * self.unit)

    def size(self, length: float) -> int:
        """Return a length in drawing pixels, at least 1."""
        return max(1, round(length * self.unit))

    def oval(self, picture: np.ndarray, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill an ellipse."""
        axes = (self.size(rx), self.size(ry))
        cv2.ellipse(picture, self.at(x, y), axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    def shape(self, picture: np.ndarray, points: list[Point], colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(picture, [np.array([self.at(x, y) for x, y in points], np.int32)], colour, cv2.LINE_AA)

    def line(self, picture: np.ndarray, points: list[Point], colour: Colour, width_px: float) -> None:
        """Draw an open line, `width_px` in pixels of the video."""
        corners = np.array([self.at(x, y) for x, y in points], np.int32)
        cv2.polylines(picture, [corners], False, colour, max(1, round(width_px * DRAW_SCALE)), cv2.LINE_AA)


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker or lighter."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


@lru_cache(maxsize=64)
def _ground(look: Look, turn: float, marked: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parts of a head without expression: rgb [H, W, 3], alpha [H, W], face [H, W] at DRAW_SCALE."""
    pen = Pen(look, 0.0)
    shape = (HEIGHT_PX * DRAW_SCALE, WIDTH_PX * DRAW_SCALE)
    rgb = np.empty((*shape, 3), np.uint8)
    rgb[:] = look.hair
    alpha = np.zeros(shape, np.uint8)
    head = np.zeros(shape, np.uint8)
    width = look.aspect
    neck = [(-0.4, 0.5), (0.4, 0.5), (0.4, 1.2), (0.0, 1.6), (-0.4, 1.2)]
    if look.long_hair:
        pen.shape(alpha, [(-1.02, -0.5), (1.02, -0.5), (1.08, 1.15), (-1.08, 1.15)], (255,) * 3)
    pen.oval(alpha, 0, -0.28, width + 0.2, 1.0, (255,) * 3)
    pen.shape(alpha, neck, (255,) * 3)
    pen.shape(rgb, neck, shaded(look.skin, 0.7))
    for side in (-1, 1):
        pen.oval(rgb, side * width, 0.02, 0.11, 0.2, shaded(look.skin, 0.82))
        pen.oval(alpha, side * width, 0.02, 0.11, 0.2, (255,) * 3)
    pen.oval(head, 0, 0, width, 1.0, (255,) * 3)
    pen.oval(alpha, 0, 0, width, 1.0, (255,) * 3)
    skin = np.clip(np.array(look.skin) * _shading(look, turn)[..., None], 0, 255).astype(np.uint8)
    rgb[head > 0] = skin[head > 0]
    fringe = [(-width - 0.1, -0.35), (-0.8 * width, -0.72), (0, -0.84), (0.8 * width, -0.72), (width + 0.1, -0.35)]
    pen.shape(rgb, [*fringe, (width + 0.25, -1.3), (-width - 0.25, -1.3)], look.hair)
    if abs(turn) > 0.3:
        back = -np.sign(turn)
        pen.oval(rgb, back * width * 0.75, -0.1, 0.75 * width, 1.1, look.hair)
    if marked:
        _markers(rgb, pen, width)
    return rgb, alpha, head > 0


def _shading(look: Look, turn: float) -> np.ndarray:
    """Return the light on the skin [H, W], 1 for its own colour: a bright side, dark sockets, shadows."""
    unit = HALF_FACE_PX * look.size * DRAW_SCALE
    x_W = (np.arange(WIDTH_PX * DRAW_SCALE) - WIDTH_PX * DRAW_SCALE / 2) / unit
    y_H = (np.arange(HEIGHT_PX * DRAW_SCALE) - HEIGHT_PX * DRAW_SCALE / 2) / unit
    across, y = np.meshgrid(x_W, y_H)
    x = across - turn

    def spot(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return np.exp(-(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2))

    light = 1.02 + 0.13 * look.light * across - 0.35 * np.clip((across / look.aspect) ** 2 + y**2 - 0.55, 0, None)
    for side in (-1, 1):
        light -= 0.34 * spot(side * look.eye_gap, -0.2, 0.25, 0.15)
        light += 0.1 * spot(side * 0.4, 0.2, 0.2, 0.18)
    light += 0.12 * spot(0, -0.05, 0.08, 0.3) + 0.08 * spot(0, -0.52, 0.4, 0.15)
    light -= 0.16 * spot(-0.13 * look.light, 0.12, 0.07, 0.2) + 0.34 * spot(0, 0.31, 0.15, 0.055)
    return light - 0.12 * spot(0, 0.72, 0.2, 0.06)


def _markers(rgb: np.ndarray, pen: Pen, width: float) -> None:
    """Draw the head band of motion capture."""
    band = [(-width - 0.2, -0.75), (0, -0.86), (width + 0.2, -0.75), (width + 0.2, -0.93), (0, -1.04)]
    pen.shape(rgb, [*band, (-width - 0.2, -0.93)], (150, 152, 158))


@lru_cache(maxsize=2048)
def head(look: Look, cue: str, opening: int, *, strength: float, blink: bool, turn: float, marked: bool) -> np.ndarray:
    """Return one head: uint8 [HEIGHT_PX * SPRITE_SCALE, WIDTH_PX * SPRITE_SCALE, 4], RGB times alpha, and alpha.

    `opening`: 0 (silent) to OPENINGS - 1; `strength` scales the expression; `turn`: 0 to the camera, 1 or -1 away.
    """
    ground, alpha, face = _ground(look, turn, marked)
    rgb = ground.copy()
    how = EXPRESSIONS[cue]
    if abs(turn) < 0.9:
        pen = Pen(look, turn)
        _eyes(rgb, pen, look, how, strength, blink)
        _mouth(rgb, pen, look, how, strength, opening / (OPENINGS - 1))
        if marked:
            for x, y in DOTS:
                pen.oval(rgb, x, y, 0.035, 0.035, (225, 225, 228))
    if turn:
        rgb = np.where(face[..., None], rgb, ground)
    small = (WIDTH_PX * SPRITE_SCALE, HEIGHT_PX * SPRITE_SCALE)
    picture = cv2.GaussianBlur(
        cv2.resize(cv2.merge([*cv2.split(rgb), alpha]), small, interpolation=cv2.INTER_AREA),
        (0, 0),
        BLUR_PX * SPRITE_SCALE,
    )
    picture[..., :3] = cv2.multiply(picture[..., :3], cv2.merge([picture[..., 3]] * 3), scale=1 / 255)
    return picture


def _eyes(rgb: np.ndarray, pen: Pen, look: Look, how: Expression, strength: float, blink: bool) -> None:
    """Draw lids, white, iris and brows."""
    lid = 0.0 if blink else 1.0 + (how.lid - 1.0) * strength
    line = shaded(look.hair, 0.7)
    for side in (-1, 1):
        x = side * look.eye_gap
        if lid > 0.15:
            pen.oval(rgb, x, -0.17, 0.14, 0.065 * lid, (226, 224, 220))
            pen.oval(rgb, x, -0.17, 0.062, min(0.062, 0.07 * lid), (48, 36, 30))
            lift = 0.065 * lid
        else:
            lift = -0.02
        pen.line(
            rgb, [(x - 0.16, -0.16), (x - 0.08, -0.17 - lift), (x + 0.08, -0.17 - lift), (x + 0.16, -0.16)], line, 1.1
        )
        raised = -0.385 - how.brow * strength
        inner, outer = raised + how.slant * strength, raised - 0.3 * how.slant * strength
        arch = min(inner, outer) * 0.4 + (inner + outer) * 0.3 - 0.03
        brow = [(x - side * 0.19, inner), (x, arch), (x + side * 0.2, outer)]
        pen.line(rgb, brow, look.hair, look.brow_px)


def _mouth(rgb: np.ndarray, pen: Pen, look: Look, how: Expression, strength: float, opening: float) -> None:
    """Draw lips, the dark between them, and teeth."""
    calm = EXPRESSIONS[REST]
    width = calm.width + (how.width - calm.width) * strength
    curve, half_gap = how.curve * strength, 0.5 * (how.gap * strength + how.gain * opening)
    x_P = np.linspace(-1.0, 1.0, 15)
    middle_P = 0.54 + curve * (0.45 - x_P**2)
    bow_P = np.sqrt(np.clip(1.0 - x_P**2, 0.0, None)) if width < 0.22 else 1.0 - x_P**4
    top_P, bottom_P = middle_P - half_gap * bow_P, middle_P + half_gap * bow_P
    lip = (look.skin[0] * 0.72, look.skin[1] * 0.5, look.skin[2] * 0.5)

    def outline(above: np.ndarray, below: np.ndarray, reach: float) -> list[Point]:
        upper = [(float(x) * reach, float(y)) for x, y in zip(x_P, above, strict=True)]
        return upper + [(float(x) * reach, float(y)) for x, y in zip(x_P[::-1], below[::-1], strict=True)]

    thick_P = 0.045 * (1.0 - 0.7 * x_P**2)
    pen.shape(rgb, outline(top_P - thick_P, bottom_P + 1.3 * thick_P, width + 0.03), lip)
    pen.shape(rgb, outline(top_P, bottom_P + 0.012, width), (58, 22, 24))
    if how.teeth and half_gap > 0.03:
        bite_P = top_P + how.teeth * 0.9 * (bottom_P - top_P)
        pen.shape(rgb, outline(top_P + 0.012, bite_P, 0.86 * width), (232, 228, 218))
