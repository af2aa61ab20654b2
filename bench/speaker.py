"""Measures which of several faces staging crops, by rule: the largest, or the one that moves its mouth with the sound.

    FOALNET_SHARED_DATA=FOLDER python -m bench.speaker [--detector yunet] [--kinds NAME] [--width 640]

FOLDER has clips/ and weights/. A group consists of two or three heads of the corpus GRID, each from a clip of its
own, with the sound of one of them, and encoded as H.264. The speaker's face is the smallest but where a group says
otherwise. The code that stages a corpus cuts each group once per rule, with the params' defaults.

A group is right if nine of ten boxes have their middle in the speaker's face. "sure": groups that the sound decided, by
`shards.face_confidence`; the others have the face of the rule `largest`. The same command and versions give the same
figures.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.faces_real import CLIP_FPS, HEADS, box_of
from foalnet import media
from foalnet.clips.candidates import Guide
from foalnet.clips.pictures import Pictures, cut_pictures
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.records import Box, Utterance
from foalnet.faces import Detector, get_detector

RATE_HZ = 16000
FRAMES = 75
GREY = 90
NOISE = 3.0
TIMEOUT_S = 600.0
# Height of a face as a share of the picture's: the speaker's and the others'.
SMALL, LARGE = 0.19, 0.27
# The mouths are shut in so many frames at a clip's start.
REST_FRAMES = 6
RIGHT = 0.9
# How far a head sways, as a share of its face's height, and how often a second.
SWAY, SWAY_HZ = 0.25, 0.7

# Frame index of the clip shown at each frame of the group.
Play = Callable[[int], int]


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head of a group: its clip, the size of its face, what it plays, and whether it sways."""

    clip: str
    share: float
    play: Play
    sways: bool = False


@dataclass(frozen=True, kw_only=True)
class Group:
    """Heads from left to right; `speaker`: the position of the one who speaks, None if no head does.

    `voice`: the clip with the sound, "" for silence; `late_s`: how much later the sound comes.
    """

    heads: tuple[Head, ...]
    speaker: int | None
    voice: str
    late_s: float = 0.0


def talks(shift: int = 0) -> Play:
    """Return a play of the clip from frame `shift` on, around its end."""
    return lambda index: (index + shift) % FRAMES


def rests(index: int) -> int:
    """Play the clip's first frames to and fro."""
    place = index % (2 * REST_FRAMES)
    return min(place, 2 * REST_FRAMES - 1 - place)


def groups_of(kind: str) -> Iterator[Group]:
    """Yield the groups of a kind: every speaker with all other heads, at each place in turn."""
    count, what = kind.split(", ", 1)
    names, place = sorted(HEADS), 0
    for speaker in names:
        for others in itertools.combinations([name for name in names if name != speaker], int(count) - 1):
            yield _group(what, speaker, others, place % int(count))
            place += 1


def _group(what: str, speaker: str, others: Sequence[str], place: int) -> Group:
    shifts = (25, 50) if what == "others talk at other times" else (0, 0)
    plays = [talks(shift) for shift in shifts] if "others talk" in what else [rests, rests]
    own, large = (LARGE, SMALL) if what == "the largest speaks" else (SMALL, LARGE)
    if what == "faces of one size":
        own = large = SMALL
    sways = what == "others rest and sway"
    heads = [Head(clip=name, share=large, play=play, sways=sways) for name, play in zip(others, plays, strict=False)]
    silent, absent = what == "no sound", what == "no one speaks"
    talker = Head(
        clip=speaker,
        share=own,
        play=rests if absent else talks(),
        sways=what == "the speaker sways",
    )
    heads.insert(place, talker)
    late_s = {"sound 0.12 s late": 0.12, "sound 0.6 s late": 0.6}.get(what, 0.0)
    return Group(heads=tuple(heads), speaker=None if absent else place, voice="" if silent else speaker, late_s=late_s)


KINDS = (
    "2, others rest",
    "2, others rest and sway",
    "2, the speaker sways",
    "2, faces of one size",
    "2, the largest speaks",
    "2, others talk at other times",
    "2, others talk at the same time",
    "2, sound 0.12 s late",
    "2, sound 0.6 s late",
    "2, no sound",
    "2, no one speaks",
    "3, others rest",
    "3, others rest and sway",
    "3, others talk at other times",
    "3, others talk at the same time",
)


class Clips:
    """The decoded clips: pictures, and sound [N] float32 at RATE_HZ."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.pictures = {name: list(media.decode_frames(data / "clips" / f"{name}.mpg"))[:FRAMES] for name in HEADS}
        self.sounds: dict[str, np.ndarray] = {}
        for name in HEADS:
            wave = folder / f"{name}.wav"
            media.extract_sound(data / "clips" / f"{name}.mpg", wave, track=1, stop_s=4.0, timeout_s=TIMEOUT_S)
            heard = media.read_mono(wave, "mean")
            self.sounds[name] = media.resample(heard.wave_N, heard.rate_hz, RATE_HZ)

    def sound(self, group: Group) -> np.ndarray:
        """Return the group's sound."""
        wave_N = np.zeros(FRAMES * RATE_HZ // CLIP_FPS, np.float32)
        if group.voice:
            own_N = self.sounds[group.voice]
            first = round(group.late_s * RATE_HZ)
            shifted_N = np.concatenate([np.zeros(max(first, 0), np.float32), own_N[max(-first, 0) :]])[: len(wave_N)]
            wave_N[: len(shifted_N)] = shifted_N
        return wave_N


def compose(group: Group, clips: Clips, path: Path, *, width_px: int, seed: int) -> Box | None:
    """Write a group's picture as H.264; return the speaker's face, without its sway."""
    height_px, rng = width_px * 9 // 16 // 2 * 2, np.random.default_rng(seed)
    column = width_px // len(group.heads)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width_px}x{height_px}", "-r", str(CLIP_FPS), "-i", "-"]
    form = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-threads", "1", str(path)]
    command = [media.ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", *source, *form]
    frames = []
    noise = np.rint(rng.normal(0, NOISE, (height_px, width_px, 3))).astype(np.int16)
    speaker: Box | None = None
    for index in range(FRAMES):
        frame = np.full((height_px, width_px, 3), GREY, np.uint8)
        for place, head in enumerate(group.heads):
            edges, picture = HEADS[head.clip], clips.pictures[head.clip][head.play(index)]
            scale = head.share * height_px / (edges[3] - edges[1])
            small = media.resize(
                picture, width_px=round(picture.shape[1] * scale), height_px=round(picture.shape[0] * scale)
            )
            sway = SWAY * head.share * height_px * np.sin(2 * np.pi * SWAY_HZ * index / CLIP_FPS + place)
            left = column * place + (column - small.shape[1]) // 2 + (round(sway) if head.sways else 0)
            _put(frame, small, left, (height_px - small.shape[0]) // 2)
            if place == group.speaker and index == 0:
                middle = column * place + (column - small.shape[1]) // 2
                speaker = box_of(edges, scale, left=middle, top=(height_px - small.shape[0]) // 2)
        # One picture of noise at random places: drawing another for each frame would take most of the time.
        moved = np.roll(noise, tuple(rng.integers(0, 64, 2)), axis=(0, 1))
        frames.append(np.clip(frame + moved, 0, 255).astype(np.uint8).tobytes())
    subprocess.run(command, input=b"".join(frames), check=True)
    return speaker


def _put(frame: np.ndarray, small: np.ndarray, left: int, top: int) -> None:
    """Lay a picture into a frame; what is outside of the frame is cut off."""
    first, stop = max(left, 0), min(left + small.shape[1], frame.shape[1])
    frame[top : top + small.shape[0], first:stop] = small[:, first - left : stop - left]


def staged(path: Path, wave_N: np.ndarray, detector: Detector, params: Shards) -> Pictures:
    """Cut a group's pictures as staging does."""
    u = Utterance(
        key="group",
        corpus="bench",
        session="s",
        dialogue="d",
        speaker="p",
        side="whole",
        start_s=0.0,
        end_s=FRAMES / CLIP_FPS,
        raw_label="",
        label=None,
    )
    guides = {u.key: Guide(listen=lambda: (wave_N, RATE_HZ))}
    return cut_pictures(path, [u], params=params, detector=detector, timeout_s=TIMEOUT_S, guides=guides)[u.key]


def is_right(pictures: Pictures, face: Box | None) -> bool:
    """Return whether nearly all boxes have their middle in the speaker's face, with its sway on both sides."""
    boxes = [box for box in pictures.track.boxes if box is not None]
    if face is None or not boxes:
        return False
    sway = SWAY * (face.bottom - face.top)
    inside = [
        face.left - sway <= (b.left + b.right) / 2 <= face.right + sway
        and face.top <= (b.top + b.bottom) / 2 <= face.bottom
        for b in boxes
    ]
    return sum(inside) >= RIGHT * len(boxes)


HEAD = (
    f"{'group':<36}{'groups':>7}{'largest %':>10}{'speaker %':>10}{'sure %':>8}{'right of sure %':>16}"
    f"{'confidence, median':>20}"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Compose every group, cut it by both rules, print a line per kind."""
    parser = argparse.ArgumentParser(prog="python -m bench.speaker", description=__doc__.split("\n")[0])
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--kinds", default="", help="kinds with this in their names [default: all]")
    parser.add_argument("--width", type=int, default=640, help="of the picture, pixels")
    args = parser.parse_args(argv)
    data = Path(os.environ.get("FOALNET_SHARED_DATA", ""))
    if not (data / "clips").is_dir():
        print("not measured: FOALNET_SHARED_DATA names no folder with clips/")
        return
    params = Shards(detector=args.detector, face="speaker")
    detector = get_detector(params, Settings(weights=data / "weights"))
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        clips = Clips(data, Path(name))
        for kind in (kind for kind in KINDS if args.kinds in kind):
            print(measure(kind, clips, Path(name), detector, params, width_px=args.width), flush=True)


def measure(kind: str, clips: Clips, folder: Path, detector: Detector, params: Shards, *, width_px: int) -> str:
    """Return the line of one kind of group."""
    by: dict[str, list[bool]] = {"largest": [], "speaker": [], "sure": [], "right": []}
    confidence: list[float] = []
    for seed, group in enumerate(groups_of(kind)):
        path = folder / "group.mp4"
        face = compose(group, clips, path, width_px=width_px, seed=seed)
        largest, chosen = (
            staged(path, clips.sound(group), detector, params.model_copy(update={"face": rule}))
            for rule in ("largest", "speaker")
        )
        by["largest"].append(is_right(largest, face))
        by["speaker"].append(is_right(chosen, face))
        by["sure"].append(chosen.choice.by == "speaker")
        confidence.append(chosen.choice.confidence or 0.0)
        if by["sure"][-1]:
            by["right"].append(by["speaker"][-1])
    share = {name: f"{100 * np.mean(values):.0f}" if values else "-" for name, values in by.items()}
    if "no one speaks" in kind:
        share |= {"largest": "-", "speaker": "-", "right": "-"}
    return (
        f"{kind:<36}{len(confidence):>7}{share['largest']:>10}{share['speaker']:>10}{share['sure']:>8}"
        f"{share['right']:>16}{np.median(confidence):>20.2f}"
    )


if __name__ == "__main__":
    main()
