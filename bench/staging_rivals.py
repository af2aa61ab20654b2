"""The rivals of bench.staging: the least possible pixel work, and the usual script that cuts faces out of IEMOCAP."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import crop, get_detector
from foalnet.media import ffmpeg_exe, probe_times


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One utterance of a video."""

    key: str
    video: Path
    start_s: float
    end_s: float
    side: str


def floor_command(video: Path, params: Shards) -> list[str]:
    """Return the ffmpeg command of the lower limit: decode once, encode two fixed crops per frame, on one thread."""
    face, half = f"crop={params.face_px}:{params.face_px}", f"crop={params.half_width_px}:{params.half_height_px}"
    to_nothing = ("-c:v", "mjpeg", "-q:v", "3", "-threads", "1", "-f", "null", "-")
    return [
        *(ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1", "-i", str(video)),
        *("-filter_complex_threads", "1", "-filter_complex", f"[0:v]split[a][b];[a]{face}[x];[b]{half}[y]"),
        *("-map", "[x]", *to_nothing, "-map", "[y]", *to_nothing),
    ]


def floor_wall_s(videos: Sequence[Path], params: Shards, *, workers: int) -> tuple[float, int]:
    """Return wall seconds of the lower limit on all videos, distributed to `workers` processes, and their frames."""
    frames = sum(len(probe_times(video).times_s) for video in videos)
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        list(pool.map(partial(_floor, params=params), [videos[start::workers] for start in range(workers)]))
    return time.monotonic() - began, frames


def _floor(videos: Sequence[Path], params: Shards) -> None:
    for video in videos:
        subprocess.run(floor_command(video, params), check=True, stdin=subprocess.DEVNULL)


def people_s(
    clips: Sequence[Clip], params: Shards, settings: Settings, *, workers: int
) -> tuple[float, dict[str, float], int]:
    """Return seconds of the usual script on some utterances, their shares by step, and the number of frames read.

    The seconds are those of the process that worked longest. The start of the processes is left out: on a minute of a
    corpus it would weigh far more than on the whole corpus.
    """
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = list(
            pool.map(partial(_people, params=params, settings=settings), [clips[i::workers] for i in range(workers)])
        )
    longest_s = max(sum(split.values()) for split, _ in parts)
    spent: dict[str, float] = defaultdict(float)
    for split, _ in parts:
        for what, seconds in split.items():
            spent[what] += seconds
    total = sum(spent.values()) or 1.0
    return longest_s, {what: seconds / total for what, seconds in spent.items()}, sum(count for _, count in parts)


def _people(clips: Sequence[Clip], params: Shards, settings: Settings) -> tuple[dict[str, float], int]:
    """Run the usual script: per utterance open and seek, per frame detect in the speaker's half, crop, write a file."""
    import cv2

    cv2.setNumThreads(1)
    detector, count = get_detector(params, settings), 0
    spent: dict[str, float] = defaultdict(float)
    folder = Path(tempfile.mkdtemp(prefix="foalnet-bench-"))
    try:
        for clip in clips:
            capture: Any = _timed(spent, "seek and decode", partial(_opened, clip))
            place = 0
            while capture.get(cv2.CAP_PROP_POS_MSEC) < 1000 * clip.end_s:
                there, frame_HWC = _timed(spent, "seek and decode", capture.read)
                if not there:
                    break
                half_HWC = _half(frame_HWC, clip.side)
                boxes = _timed(spent, "detect", partial(detector.detect, [half_HWC]))[0]
                if boxes:
                    path = folder / f"{clip.key}-{place:05d}.jpg"
                    _timed(spent, "files", partial(_write, path, half_HWC, boxes[0], params))
                place += 1
            capture.release()
            count += place
    finally:
        shutil.rmtree(folder)
    return dict(spent), count


def _opened(clip: Clip) -> Any:
    import cv2

    capture = cv2.VideoCapture(str(clip.video))
    capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * clip.start_s)
    return capture


def _half(frame_HWC: np.ndarray, side: str) -> np.ndarray:
    middle = frame_HWC.shape[1] // 2
    return np.ascontiguousarray(frame_HWC[:, :middle, ::-1] if side == "left" else frame_HWC[:, middle:, ::-1])


def _write(path: Path, half_HWC: np.ndarray, box: Any, params: Shards) -> None:
    import cv2

    face_HWC = crop(half_HWC, box, size_px=params.face_px, margin=params.margin)
    cv2.imwrite(str(path), np.ascontiguousarray(face_HWC[..., ::-1]))


def _timed(spent: dict[str, float], what: str, work: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = work()
    spent[what] += time.monotonic() - began
    return result
