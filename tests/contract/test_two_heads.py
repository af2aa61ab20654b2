"""Two real talking heads in one letterboxed picture, staged: the right head, the exact sound, the right frames.

The clips (GRID corpus, CC BY 4.0) lie beside the checkout in ../shared/data; without them this is skipped.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from foalnet.records import Sample
from foalnet.shards import open_shards, split_frames
from tests.clips_tree import BOTTOM, HEIGHT, RATE_HZ, TOP, WIDTH, LocalPool, Place, write_avi

FACE_PX = 42
CLIP_FPS, CLIP_FRAMES = 25, 75
SECONDS = 9.6
# Utterance suffix, start and end in the dialogue; who speaks is the letter. Two overlap.
TURNS = (("F000", 0.40, 3.30), ("M000", 3.10, 6.05), ("F001", 6.3471, 9.2013))
# Dialogue -> (left clip, right clip, frame rate). The actor with the markers (letter at the front) sits left.
DIALOGUES = {
    "Ses01F_impro01": ("bbaf2n", "brbk7n", "30000/1001"),
    "Ses02M_impro02": ("lbax4n", "pwij3p", "25"),
}


def clip_frames(shared_data: Path, name: str) -> list[np.ndarray]:
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


@pytest.fixture(scope="module")
def heads(shared_data: Path) -> dict[str, list[np.ndarray]]:
    names = sorted({name for pair in DIALOGUES.values() for name in pair[:2]})
    return {name: at_size(clip_frames(shared_data, name), FACE_PX) for name in names}


def write_wave(path: Path, wave_N: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave_N, RATE_HZ, subtype="PCM_16")


@pytest.fixture(scope="module")
def tree(
    shared_data: Path, heads: dict[str, list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray]]:
    """The tree, and the sound of each utterance."""
    root, sounds = tmp_path_factory.mktemp("heads"), {}
    scratch = tmp_path_factory.mktemp("sound")
    for dialogue, (left, right, rate) in DIALOGUES.items():
        folder = root / f"Session{dialogue[4]}"
        times_s = [float(i / Fraction(rate)) for i in range(int(SECONDS * Fraction(rate)))]
        pictures = []
        for time_s in times_s:
            frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            frame[TOP:BOTTOM] = np.concatenate([shown(heads[left], time_s), shown(heads[right], time_s)], axis=1)
            pictures.append(frame)
        write_avi(folder / "dialog" / "avi" / "DivX" / f"{dialogue}.avi", pictures, rate=rate)
        recording_N = np.zeros(round(SECONDS * RATE_HZ), np.int16)
        lines = []
        for suffix, start, end in TURNS:
            key, head = f"{dialogue}_{suffix}", left if suffix[0] == dialogue[5] else right
            first, last = round(start * RATE_HZ), round(end * RATE_HZ)
            sounds[key] = clip_sound(shared_data, head, scratch)[: last - first]
            assert sounds[key].size == last - first
            recording_N[first:last] += sounds[key] // 2
            write_wave(folder / "sentences" / "wav" / dialogue / f"{key}.wav", sounds[key])
            lines.append(f"[{start:.4f} - {end:.4f}]\t{key}\tneu\t[2.5000, 2.5000, 2.5000]\nC-E1:\tNeutral;\t()\n\n")
        write_wave(folder / "dialog" / "wav" / f"{dialogue}.wav", recording_N)
        labels = folder / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("% header\n\n" + "".join(lines))
    return root, sounds


def staged(
    place: Place, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[dict[str, Any], Sample]]:
    monkeypatch.setattr("foalnet.clips.staging.Pool", LocalPool)
    monkeypatch.setenv("FOALNET_WEIGHTS", str(shared_data / "weights"))
    place.stage()
    return {s.key: (json.loads(s.members["json"]), s) for s in open_shards(place.out).samples()}


def likeness(crop: np.ndarray, side_px: int, half: np.ndarray) -> float:
    """Return how well a face crop, at its own size, fits anywhere in a half picture: the best correlation."""
    small = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (half, small)]
    return float(cv2.matchTemplate(grey[0], grey[1], cv2.TM_CCOEFF_NORMED).max())


@pytest.mark.parametrize(
    ("detector", "roi"), [("haar", 0.0), ("haar", 3.0), ("blazeface", 0.0), ("yunet", 0.0), ("yunet", 3.0)]
)
def test_two_real_heads_are_told_apart_and_cut_exactly(
    detector: str,
    roi: float,
    tree: tuple[Path, dict[str, np.ndarray]],
    heads: dict[str, list[np.ndarray]],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, sounds = tree
    params = Shards(detector=detector, roi=roi)
    place = replace(Place(home=tmp_path, root=root), shards=params)
    got = staged(place, shared_data, monkeypatch)
    assert set(got) == set(sounds)
    for key, (meta, sample) in got.items():
        dialogue, _, suffix = key.rpartition("_")
        left, right, rate = DIALOGUES[dialogue]
        _, start, end = next(turn for turn in TURNS if turn[0] == suffix)
        video = meta["video"]
        # The cut: sound to the sample, frames to within one.
        wave_N, rate_hz = media.read_flac(sample.members["flac"])
        assert rate_hz == RATE_HZ and np.array_equal(np.rint(wave_N * 32768).astype(np.int16), sounds[key])
        assert abs(len(video["times_s"]) - (end - start) * Fraction(rate)) <= 1
        # The side: every crop is the speaker's head and not the listener's.
        speaker_left = suffix[0] == dialogue[5]
        assert meta["side"] == ("left" if speaker_left else "right")
        own, other = (left, right) if speaker_left else (right, left)
        crops = split_frames(sample.members["face.mjpg"], video["face_offsets"])
        covered = [i for i, jpeg in enumerate(crops) if jpeg]
        assert len(covered) >= 0.9 * len(crops)
        for i in covered:
            box = video["boxes"][i]
            side_px = round(max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * params.margin))
            face, time_s = media.read_jpeg(crops[i]), video["times_s"][i] + 1e-4
            fits = likeness(face, side_px, shown(heads[own], time_s))
            assert fits > 0.9 and fits > likeness(face, side_px, shown(heads[other], time_s)) + 0.1, (key, i, fits)
            assert 0.6 * FACE_PX < box[3] - box[1] < 1.7 * FACE_PX
    account = json.loads(place.report.read_bytes())
    assert account["coverage"]["overall"] >= 0.9 and account["no_face"] == []
    assert account["ledger"]["counts"] == {"kept": len(sounds)}
