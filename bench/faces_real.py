"""Reads real faces for bench.faces, and composes two real heads into one letterboxed video.

The pictures are outside the repository (FOALNET_SHARED_DATA, folders `clips` and `faces`). A person read their boxes,
hairline to chin and ear to ear, off a grid drawn over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from bench.drawn_videos import DrawnVideo, frame_at, seen
from foalnet import media
from foalnet.config.draw import Draw
from foalnet.core.records import Box, Utterance
from foalnet.corpora.iemocap.names import name_of
from foalnet.drawn import avi

WIDTH_PX, HEIGHT_PX, TOP_PX, BOTTOM_PX = 720, 480, 120, 360
CLIP_FPS = 25
# Length of a composed video, and where its utterances end in it.
SECONDS, END_S = 2.6, 2.5
GREY = 90
# Left, top, right, bottom in the clip's own pixels; these people hardly move.
HEADS = {
    "bbaf2n": (102, 100, 205, 250),
    "brbk7n": (119, 101, 225, 259),
    "lbax4n": (129, 70, 250, 249),
    "pwij3p": (133, 93, 241, 254),
}
PAIRS = (("bbaf2n", "brbk7n"), ("lbax4n", "pwij3p"))
HEAD_SIZES_PX = (35, 40, 45)
STILLS = {
    "blazeface_1face.png": [(43, 27, 62, 57)],
    "blazeface_3faces.png": [(10, 38, 28, 60), (55, 41, 71, 62), (99, 38, 118, 62)],
    "blazeface_4faces.png": [(16, 44, 26, 56), (46, 43, 56, 54), (72, 43, 82, 55), (100, 41, 111, 55)],
    "face_recognition_obama.jpg": [(360, 85, 620, 445)],
    "face_recognition_obama_partial_face.jpg": [(0, 85, 200, 445)],
    "facealignment_aflw-test.jpg": [(150, 142, 295, 358)],
    "pyfeat_multi_face.jpg": [
        (213, 75, 307, 177),
        (316, 232, 412, 365),
        (435, 225, 523, 303),
        (535, 308, 632, 440),
        (680, 290, 797, 425),
    ],
}
GRASS, EMPTY_CLIP = "facealignment_grass.jpg", "no_face.mp4"
# Clip: the frames (first, last + 1) that show one face, and its box.
CLIPS = {
    "single_face.mp4": ((0, 72), (219, 85, 371, 301)),
    "face_noface.mov": ((0, 72), (328, 128, 556, 452)),
    "noface_face.mov": ((96, 168), (328, 128, 556, 452)),
}
# Frames around a cut that may be blurred.
CUT_FRAMES = 2


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture [H, W, 3] uint8 RGB and the faces in it."""

    pixels_HWC: np.ndarray
    faces: tuple[Box, ...]


def box_of(edges: Sequence[float], scale: float = 1.0, left: float = 0.0, top: float = 0.0) -> Box:
    """Return the box of the given edges, scaled and then moved."""
    x0, y0, x1, y1 = (edge * scale for edge in edges)
    return Box(left=x0 + left, top=y0 + top, right=x1 + left, bottom=y1 + top)


def fitted(pixels_HWC: np.ndarray, edges: Sequence[Sequence[float]], share: float = 1.0) -> Picture:
    """Return a picture and its boxes, scaled to cover `share` of a video's frame."""
    height, width = pixels_HWC.shape[:2]
    scale = share * min(WIDTH_PX / width, HEIGHT_PX / height)
    small = media.resize(pixels_HWC, width_px=round(width * scale), height_px=round(height * scale))
    return Picture(pixels_HWC=small, faces=tuple(box_of(each, scale) for each in edges))


def read_picture(path: Path) -> np.ndarray:
    """Return a JPEG or PNG as [H, W, 3] uint8 RGB."""
    if path.suffix == ".jpg":
        return media.read_jpeg(path.read_bytes())
    blue_green_red = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert blue_green_red is not None, path
    return np.ascontiguousarray(blue_green_red[..., ::-1])


def groups(data: Path, step: int = 12) -> Iterator[tuple[str, list[Picture]]]:
    """Yield the pictures grouped by content; of clips every `step`-th frame."""
    composed = []
    for name in HEADS:
        for face_px in HEAD_SIZES_PX:
            halves, box = _half(data, name, face_px)
            there = _moved(box, 0.0, -TOP_PX)
            composed += [Picture(pixels_HWC=half, faces=(there,)) for half in halves[::step]]
    yield "heads, 35-45 px", composed
    whole = {name: list(media.decode_frames(data / "clips" / f"{name}.mpg"))[::step] for name in HEADS}
    yield (
        "heads, as filmed",
        [Picture(pixels_HWC=f, faces=(box_of(HEADS[name]),)) for name, frames in whole.items() for f in frames],
    )
    grass = read_picture(data / "faces" / GRASS)
    yield "grass", [Picture(pixels_HWC=grass, faces=()), fitted(grass, []), fitted(grass, [], 0.5)]
    empty = list(media.decode_frames(data / "clips" / EMPTY_CLIP))[::step]
    yield "no_face", [fitted(frame, [], share) for share in (1.0, 0.5) for frame in empty]
    yield "stills", [fitted(read_picture(data / "faces" / name), edges) for name, edges in STILLS.items()]
    there_and_gone = _clips(data, step)
    yield "clips, a face", there_and_gone[0]
    yield "clips, face gone", there_and_gone[1]


def _clips(data: Path, step: int) -> tuple[list[Picture], list[Picture]]:
    """Return the clips' pictures with a face and those without one; none near a cut."""
    shown, gone = [], []
    for name, ((first, stop), edges) in CLIPS.items():
        for index, frame in enumerate(media.decode_frames(data / "clips" / name)):
            if index % step == 0 and first <= index < stop:
                shown.append(fitted(frame, [edges]))
            elif index % step == 0 and not first - CUT_FRAMES <= index < stop + CUT_FRAMES:
                gone.append(fitted(frame, []))
    return shown, gone


def two_heads(
    data: Path, pair: tuple[str, str], folder: Path, *, face_px: int, still: bool = False, seed: int = 1
) -> DrawnVideo:
    """Compose two heads with faces of `face_px` pixels side by side, with sensor noise, encoded like a corpus' video.

    `still`: each clip stays at its first frame, so that only the camera's noise changes.
    """
    rate, rng = Fraction(Draw().rate_fps), np.random.default_rng([seed, face_px, still])
    heads = {side: _half(data, name, face_px) for side, name in zip(("left", "right"), pair, strict=True)}
    count = int(SECONDS * rate)

    def frames() -> Iterator[np.ndarray]:
        for index in range(count):
            picture = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
            shown = 0 if still else int(index / rate * CLIP_FPS)
            for start, (halves, _) in zip((0, WIDTH_PX // 2), heads.values(), strict=True):
                picture[TOP_PX:BOTTOM_PX, start : start + WIDTH_PX // 2] = halves[shown % len(halves)]
            yield cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)

    name = "Ses01F_impro01"
    path = folder / f"{'-'.join(pair)}_{face_px}_{'still' if still else 'talk'}.avi"
    avi.encode(path, seen(frames(), light=1.0, rng=rng), width_px=WIDTH_PX, height_px=HEIGHT_PX, rate=Draw().rate_fps)
    keys = {"left": f"{name}_F000", "right": f"{name}_M000"}
    own = {keys["left"]: heads["left"][1], keys["right"]: _moved(heads["right"][1], WIDTH_PX // 2, 0.0)}
    utterances = tuple(_utterance(key, name, END_S) for key in keys.values())
    frame_count = frame_at(SECONDS) + 1
    return DrawnVideo(
        path=path,
        utterances=utterances,
        boxes={key: [box] * frame_count for key, box in own.items()},
        others={key: [[box for k, box in own.items() if k != key]] * frame_count for key in own},
        visible={key: np.ones(frame_count, bool) for key in own},
    )


def _half(data: Path, name: str, face_px: int) -> tuple[list[np.ndarray], Box]:
    """Return a clip's frames inside a grey half picture, and its face box in pixels of the video."""
    edges = HEADS[name]
    scale = face_px / (edges[3] - edges[1])
    halves, x, y = [], 0, 0
    for frame in media.decode_frames(data / "clips" / f"{name}.mpg"):
        small = media.resize(frame, width_px=round(frame.shape[1] * scale), height_px=round(frame.shape[0] * scale))
        half = np.full((BOTTOM_PX - TOP_PX, WIDTH_PX // 2, 3), GREY, np.uint8)
        y, x = (half.shape[0] - small.shape[0]) // 2, (half.shape[1] - small.shape[1]) // 2
        half[y : y + small.shape[0], x : x + small.shape[1]] = small
        halves.append(half)
    return halves, box_of(edges, scale, left=x, top=y + TOP_PX)


def _moved(box: Box, right_px: float, down_px: float) -> Box:
    left, right = box.left + right_px, box.right + right_px
    return Box(left=left, top=box.top + down_px, right=right, bottom=box.bottom + down_px)


def _utterance(key: str, dialogue: str, end_s: float) -> Utterance:
    name = name_of(key)
    return Utterance(
        key=key,
        corpus="bench",
        session="Session1",
        dialogue=dialogue,
        speaker=name.speaker,
        side=name.side,
        start_s=0.0,
        end_s=end_s,
        raw_label="neu",
        label="neutral",
    )
