"""Real talking heads in IEMOCAP's picture: clips of the GRID corpus (CC BY 4.0), which lie beside the checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import soundfile

from foalnet import media
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from tests.support.corpus.trees import RATE_HZ
from tests.support.corpus.videos import BOTTOM, HEIGHT, TOP, WIDTH, write_avi

CLIP_FPS, CLIP_FRAMES = 25, 75
SECONDS = 9.6
# Utterance suffix, start and end in the dialogue; who speaks is the letter. Two overlap.
TURNS = (("F000", 0.40, 3.30), ("M000", 3.10, 6.05), ("F001", 6.3471, 9.2013))
# A mouth is shut in so many frames at a clip's start.
REST_FRAMES = 6


def clip_frames(shared_data: Path, name: str) -> list[np.ndarray]:
    """Decode a clip."""
    frames = list(media.decode_frames(shared_data / "clips" / f"{name}.mpg"))
    assert len(frames) == CLIP_FRAMES
    return frames


def clip_sound(shared_data: Path, name: str, folder: Path) -> np.ndarray:
    """Return the clip's sound, 16 kHz mono, as 16-bit numbers."""
    out = folder / f"{name}.wav"
    source = ["-i", str(shared_data / "clips" / f"{name}.mpg")]
    form = ["-ac", "1", "-ar", str(RATE_HZ), "-c:a", "pcm_s16le", str(out)]
    subprocess.run([media.ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", *source, *form], check=True)
    wave_N, rate_hz = soundfile.read(out, dtype="int16")
    assert rate_hz == RATE_HZ
    return np.asarray(wave_N)


def at_size(frames: list[np.ndarray], face_px: int) -> list[np.ndarray]:
    """Scale a clip so that its face is `face_px` high, on grey, in a half of 360 x 240."""
    detector = get_detector(Shards(min_face_px=60), Settings())
    heights = [boxes[0].bottom - boxes[0].top for boxes in detector.detect(frames[::15]) if boxes]
    scale = face_px / float(np.median(heights))
    halves = []
    for frame in frames:
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        half = np.full((BOTTOM - TOP, WIDTH // 2, 3), 90, np.uint8)
        y, x = (half.shape[0] - small.shape[0]) // 2, (half.shape[1] - small.shape[1]) // 2
        half[y : y + small.shape[0], x : x + small.shape[1]] = small
        halves.append(half)
    return halves


def shown(halves: list[np.ndarray], time_s: float) -> np.ndarray:
    """Return the clip's picture at a time of the dialogue, the clip repeated."""
    return halves[int(time_s * CLIP_FPS + 1e-6) % CLIP_FRAMES]


def speaking(halves: list[np.ndarray], time_s: float, letter: str) -> np.ndarray:
    """Return the picture of an actor who speaks in its own turns, as its sound does, and else rests."""
    for suffix, start, end in TURNS:
        if suffix[0] == letter and start <= time_s + 1e-6 < end:
            return halves[min(int((time_s - start) * CLIP_FPS + 1e-6), CLIP_FRAMES - 1)]
    place = int(time_s * CLIP_FPS + 1e-6) % (2 * REST_FRAMES)
    return halves[min(place, 2 * REST_FRAMES - 1 - place)]


def write_heads(
    root: Path,
    dialogue: str,
    seats: tuple[str, str],
    rate: str,
    *,
    voices: Mapping[str, np.ndarray],
    show: Callable[[str, float, str], np.ndarray],
    swap: bool = False,
) -> dict[str, np.ndarray]:
    """Write one dialogue's files and return each utterance's sound, 16-bit.

    `seats`: who speaks for the actor with the markers and who for the other; they sit left and right, the other way
    round with `swap`. `voices`: sound by clip. `show(clip, time, letter)`: the half picture of a clip at a time.
    """
    folder, marker = root / f"Session{dialogue[4]}", dialogue[5]
    letters = (marker, "M" if marker == "F" else "F")
    pictures = []
    for index in range(int(SECONDS * Fraction(rate))):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        shown = [show(clip, float(index / Fraction(rate)), letter) for clip, letter in zip(seats, letters, strict=True)]
        frame[TOP:BOTTOM] = np.concatenate(shown[::-1] if swap else shown, axis=1)
        pictures.append(frame)
    write_avi(folder / "dialog" / "avi" / "DivX" / f"{dialogue}.avi", pictures, rate=rate)
    sounds: dict[str, np.ndarray] = {}
    recording_N = np.zeros(round(SECONDS * RATE_HZ), np.int16)
    lines = []
    for number, (suffix, start, end) in enumerate(TURNS):
        key = f"{dialogue}_{suffix}"
        first, last = round(start * RATE_HZ), round(end * RATE_HZ)
        sounds[key] = voices[seats[0] if suffix[0] == marker else seats[1]][: last - first]
        assert sounds[key].size == last - first
        recording_N[first:last] += sounds[key] // 2
        write_wave(folder / "sentences" / "wav" / dialogue / f"{key}.wav", sounds[key])
        label = ("neu", "ang")[number % 2]
        lines.append(f"[{start:.4f} - {end:.4f}]\t{key}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E1:\tNeutral;\t()\n\n")
    write_wave(folder / "dialog" / "wav" / f"{dialogue}.wav", recording_N)
    labels = folder / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("% header\n\n" + "".join(lines))
    return sounds


def write_wave(path: Path, wave_N: np.ndarray) -> None:
    """Write 16-bit mono sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave_N, RATE_HZ, subtype="PCM_16")
