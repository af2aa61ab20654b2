"""A small tree in IEMOCAP's layout whose every frame tells its number and side, and every sample its place."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from foalnet import media
from foalnet.config import Params, Settings
from foalnet.config.blocks import Draw, Evaluate, Manifest, Report, Shards, Train
from foalnet.corpora.inventory import inventory
from foalnet.stages.manifest.build import build
from foalnet.stages.shards.staging import StageSummary, stage

RATE_HZ = 16000
RATE = "30000/1001"
FPS = 30000 / 1001
WIDTH, HEIGHT, TOP, BOTTOM = 720, 480, 120, 360

# Per dialogue: suffix, start, end. Two utterances overlap.
TURNS: tuple[tuple[str, float, float], ...] = (
    ("F000", 0.31, 1.20),
    ("M000", 1.05, 2.02),
    ("F001", 2.10, 2.60),
)
DIALOGUES = ("Ses01F_impro01", "Ses01M_impro02", "Ses02F_script01_1")


def level(index: int, side: str) -> int:
    """Return the grey of a half: the left one rises by 2 a frame, the right one falls."""
    return 56 + 2 * index if side == "left" else 234 - 2 * index


def write_avi(path: Path, pictures: Sequence[np.ndarray], *, rate: str = RATE) -> None:
    """Encode frames [H, W, 3] as MPEG-4 in AVI at near-lossless quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    command = [
        media.ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0",
        "-c:v", "mpeg4", "-vtag", "DIVX", "-q:v", "1", "-g", "12", "-bf", "0", "-f", "avi", str(path),
    ]  # fmt: skip
    subprocess.run(command, input=b"".join(np.ascontiguousarray(p).tobytes() for p in pictures), check=True)


def picture(index: int) -> np.ndarray:
    """Return one letterboxed two-picture frame."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[TOP:BOTTOM, : WIDTH // 2] = level(index, "left")
    frame[TOP:BOTTOM, WIDTH // 2 :] = level(index, "right")
    return frame


def sound(seed: int, seconds: float) -> np.ndarray:
    """Return 16-bit noise as float32, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-9000, 9000, round(seconds * RATE_HZ)) / 32768).astype(np.float32)


def write_dialogue(root: Path, dialogue: str, *, seconds: float = 2.8, number: int = 0) -> None:
    """Write one dialogue's video, recordings, labels and sentences."""
    session = root / f"Session{dialogue[4]}"
    write_avi(
        session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi", [picture(i) for i in range(round(seconds * FPS))]
    )
    stereo = np.stack([sound(900 + number, seconds), sound(950 + number, seconds)], axis=1)
    _write(session / "dialog" / "wav" / f"{dialogue}.wav", stereo)
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    transcript = []
    for turn, (suffix, start, end) in enumerate(TURNS):
        key = f"{dialogue}_{suffix}"
        _write(session / "sentences" / "wav" / dialogue / f"{key}.wav", sound(10 * number + turn, end - start))
        label = ("neu", "ang", "xxx")[turn]
        lines += [f"[{start:.4f} - {end:.4f}]\t{key}\t{label}\t[2.5000, 2.5000, 2.5000]", "C-E1:\tNeutral;\t()", ""]
        transcript.append(f"{key} [{start:08.4f}-{end:08.4f}]: Well.")
    _text(session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", "\n".join(lines) + "\n")
    _text(session / "dialog" / "transcriptions" / f"{dialogue}.txt", "\n".join(transcript) + "\n")


def _write(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE_HZ, subtype="PCM_16")


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_clips_tree(root: Path, dialogues: Sequence[str] = DIALOGUES) -> Path:
    """Write the whole tree and return its root."""
    for number, dialogue in enumerate(dialogues):
        write_dialogue(root, dialogue, number=number)
    return root


@dataclass(frozen=True, kw_only=True)
class Place:
    """A project folder that stages one tree."""

    home: Path
    root: Path
    shards: Shards = field(default_factory=lambda: Shards(detector="fixed"))
    classes: Mapping[str, list[str]] | None = None
    workers: int = 1
    corpus: str = "tiny"
    reader: str = "iemocap"

    @property
    def params(self) -> Params:
        """The resolved params."""
        return Params(
            corpus=self.corpus,
            reader=self.reader,
            source=str(self.root),
            variants=["foal"],
            seeds=[1],
            draw=Draw(),
            manifest=Manifest(
                classes=dict(self.classes or {"neutral": ["neu"], "angry": ["ang"]}), max_drop_fraction=1.0
            ),
            shards=self.shards,
            train=Train(),
            evaluate=Evaluate(),
            report=Report(),
        )

    @property
    def settings(self) -> Settings:
        """Machine settings with a work folder of its own."""
        return Settings(work=self.home / "work", workers=self.workers)

    @property
    def out(self) -> Path:
        """The folder of shards."""
        return self.home / "data" / "shards"

    @property
    def report(self) -> Path:
        """The account of staging."""
        return self.home / "reports" / "staging.json"

    def list_files(self) -> None:
        """Run the two stages before staging."""
        inventory(self.params, self.settings, self.home / "inventory.json")
        build(
            self.params,
            self.settings,
            self.home / "inventory.json",
            self.home / "manifest.jsonl",
            self.home / "reports" / "counts.json",
        )

    def stage(self, *, listed: bool = False, **options: Any) -> StageSummary:
        """Run inventory and manifest (unless `listed`), then staging."""
        if not listed:
            self.list_files()
        options.setdefault("root", self.root)
        return stage(
            self.params,
            self.settings,
            inventory=self.home / "inventory.json",
            manifest=self.home / "manifest.jsonl",
            out=self.out,
            report=self.report,
            **options,
        )

    def bytes(self) -> dict[str, bytes]:
        """Every published byte, by relative path."""
        files = {p.relative_to(self.out).as_posix(): p.read_bytes() for p in sorted(self.out.rglob("*")) if p.is_file()}
        return files | {"staging.json": self.report.read_bytes()}


@dataclass(frozen=True, kw_only=True)
class Impatient(Place):
    """A place that does not wait an hour for a frame."""

    timeout_s: float

    @property
    def settings(self) -> Settings:
        """Machine settings with a short timeout."""
        return Settings(work=self.home / "work", workers=1, ffmpeg_timeout_s=self.timeout_s)


class LocalPool:
    """Stands in for the worker pool: the same jobs in this process (starting workers costs seconds)."""

    def __init__(self, *, setup: Any, work: Any, done: Any, **_: Any) -> None:
        self._setup, self._work, self._done = setup, work, done
        self.errors: dict[int, Exception] = {}

    def run(self, jobs: Sequence[Any]) -> list[Any]:
        """Run every job in order."""
        state, results = self._setup(), []
        for job in jobs:
            results.append(self._work(state, job))
            self._done(job)
        return results
