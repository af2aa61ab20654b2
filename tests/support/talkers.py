"""Pictures of several plain faces, each of a colour of its own, and the sound of one of them.

A face is a square; its mouth, a block in its lower part, darkens with the loudness of the voice that it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foalnet.clips.candidates import Guide
from foalnet.clips.pictures import Pictures, cut_pictures
from foalnet.config.blocks import Shards
from foalnet.core.records import Box, Utterance
from foalnet.media import read_jpeg
from tests.support.corpus.rows import utterance
from tests.support.corpus.staging import Scripted
from tests.support.corpus.videos import write_video

WIDTH, HEIGHT, FPS = 360, 240, 30
RATE_HZ = 16000
SECONDS = 3.0
FRAMES = round(SECONDS * FPS)
RED, GREEN, BLUE = (200, 60, 60), (60, 190, 60), (70, 80, 210)


def voice(seed: int, times_s: np.ndarray) -> np.ndarray:
    """Return a voice's loudness from 0 to 1: words of random lengths, with pauses, of syllables of random strength."""
    rng = np.random.default_rng(seed)
    out = np.zeros_like(times_s)
    start_s = 0.1
    while start_s < SECONDS:
        length_s, strength = rng.uniform(0.15, 0.45), rng.uniform(0.4, 1.0)
        inside = (times_s >= start_s) & (times_s < start_s + length_s)
        out[inside] = strength * np.abs(np.sin(np.pi * 6 * (times_s[inside] - start_s)))
        start_s += length_s + rng.uniform(0.1, 0.5)
    return out


def sound(seed: int, late_s: float = 0.0) -> np.ndarray:
    """Return the sound of a voice, [N] float32."""
    times_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    noise_N = np.random.default_rng(99).standard_normal(len(times_s))
    return (0.3 * voice(seed, times_s - late_s) * noise_N).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face: colour, middle and side in pixels, the voice that its mouth follows (None: shut), how far it sways.

    It is seen in frames `first` to `stop`.
    """

    colour: tuple[int, int, int]
    x: float
    y: float = 120.0
    side: float = 60.0
    voice: int | None = None
    sways_px: float = 0.0
    first: int = 0
    stop: int = FRAMES

    def box(self, frame: int) -> Box:
        """Return its box in a frame."""
        x = self.x + self.sways_px * np.sin(2 * np.pi * 0.8 * frame / FPS)
        half = self.side / 2
        return Box(left=x - half, top=self.y - half, right=x + half, bottom=self.y + half, score=0.9)


def write_faces(path: Path, faces: Sequence[Face], ground: Callable[[int], int] = lambda _: 40) -> Path:
    """Write a video of faces; `ground`: grey of the picture by frame."""
    times_s = np.arange(FRAMES) / FPS
    mouths = [np.zeros(FRAMES) if face.voice is None else voice(face.voice, times_s) for face in faces]
    frames = []
    for index in range(FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), ground(index), np.uint8)
        for face, open_F in zip(faces, mouths, strict=True):
            if face.first <= index < face.stop:
                box = face.box(index)
                left, top, right, bottom = (round(edge) for edge in (box.left, box.top, box.right, box.bottom))
                frame[top:bottom, left:right] = face.colour
                side = round(face.side)
                mouth = frame[
                    top + side * 7 // 10 : top + side * 9 // 10, left + side * 3 // 10 : left + side * 7 // 10
                ]
                mouth[:] = np.round(mouth * (1 - 0.9 * open_F[index]))
        frames.append(frame)
    return write_video(path, frames, rate=str(FPS))


def looked_at(stride: int) -> list[int]:
    """Return the frames that a detector gets."""
    return sorted({*range(0, FRAMES, stride), FRAMES - 1})


def seeing(faces: Sequence[Face], stride: int = 6) -> Scripted:
    """Return a detector that sees the faces where they are."""
    at = looked_at(stride)
    return Scripted(lambda i, _: [face.box(at[i]) for face in faces if face.first <= at[i] < face.stop])


def said() -> Utterance:
    """Return the utterance of the whole video."""
    return utterance("a", side="whole", start_s=0.0, end_s=SECONDS)


def cut(
    path: Path,
    faces: Sequence[Face],
    wave_N: np.ndarray | None,
    params: Shards | None = None,
    *,
    point: tuple[float, float] | None = None,
    held_bytes: int = 2**28,
) -> Pictures:
    """Cut the video's one utterance with a detector that sees the faces where they are."""
    params = params or Shards(face="speaker")
    guide = Guide(listen=None if wave_N is None else lambda: (wave_N, RATE_HZ), point=point)
    return cut_pictures(
        path, [said()], params=params, detector=seeing(faces, params.stride), timeout_s=60.0, guides={"a": guide},
        held_bytes=held_bytes,
    )["a"]  # fmt: skip


def colours(pictures: Pictures) -> list[tuple[int, int, int] | None]:
    """Return for each frame the known colour nearest to that of the crop above the mouth; None without a crop."""
    return [None if not jpeg else nearest(read_jpeg(jpeg)) for jpeg in pictures.faces]


def nearest(crop_HWC: np.ndarray) -> tuple[int, int, int]:
    """Return the known colour that the middle of a crop shows."""
    side = len(crop_HWC)
    seen = crop_HWC[side * 4 // 10 : side // 2, side * 4 // 10 : side * 6 // 10].reshape(-1, 3).mean(axis=0)
    return min((RED, GREEN, BLUE), key=lambda known: float(np.abs(seen - known).sum()))
