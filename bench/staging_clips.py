"""Staging of clips of RAVDESS' form, by `python -m bench.staging --clips N`: times real time per core.

mp4 of 1280 x 720 at 29.97 frames a second, 3.7 s each, aac stereo at 48 kHz, one drawn person with sensor noise.
RAVDESS has 24.8 GB in 7,356 files, two thirds of them videos: about 10 Mbit/s. The bit rate decides what decoding
costs, so a second set has a fifth of it. CPU seconds of this process and its children, because wall seconds depend on
what else the machine does. Least: decoding each frame once, and nothing else.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.drawn_videos import CONDITIONS, draw_video
from foalnet.clips.dialogue import stage_dialogue
from foalnet.clips.plan import Job
from foalnet.config import load_settings
from foalnet.config.blocks import Shards
from foalnet.core.files import sha256_file
from foalnet.core.ledger import Ledger
from foalnet.corpora.inventory import FileEntry
from foalnet.corpora.ravdess import Ravdess
from foalnet.faces import get_detector
from foalnet.media import decode_pictures, ffmpeg_exe, probe_times

CLIP_S = 3.7
RATES = ("10M", "2M")
PERSON = "crop=320:180:20:150,scale=1280:720:flags=bicubic,noise=alls=8:allf=t"
GOAL = 8.0
# Looks at every 6th and 12th frame; a face of this size is as well seen in 240 rows.
ARMS: tuple[dict[str, float], ...] = (
    {"stride": 6},
    {"stride": 12, "roi": 2.0},
    {"stride": 12, "search_rows": 240},
)


def make_clips(folder: Path, count: int, rate: str) -> list[Path]:
    """Encode so many clips at a bit rate, under the names of RAVDESS."""
    drawn = draw_video(CONDITIONS[0], folder, session=1, utterances=8)
    root = folder / rate / "Actor_01"
    root.mkdir(parents=True)
    clips = []
    for number in range(count):
        emotion, intensity, statement = number % 8 + 1, number // 8 % 2 + 1, number // 16 % 2 + 1
        clip = root / f"01-01-{emotion:02d}-{intensity:02d}-{statement:02d}-01-01.mp4"
        source = ("-ss", str(1.3 * number % 12), "-stream_loop", "3", "-i", str(drawn.path))
        tone = ("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=48000")
        picture = ("-vf", PERSON, "-r", "30000/1001", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
        bits = ("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-c:a", "aac", "-ac", "2")
        done = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", *source, *tone, "-t", str(CLIP_S), *picture, *bits]
        subprocess.run([*done, str(clip)], check=True)
        clips.append(clip)
    return clips


def job_of(root: Path, clips: Sequence[Path], params: Shards) -> Job:
    """Return the staging job of the clips."""
    paths = [clip.relative_to(root).as_posix() for clip in clips]
    rows = Ravdess().utterances(root, dict.fromkeys(paths, "video"), Ledger())
    files = [
        FileEntry(path=path, size=(root / path).stat().st_size, sha256=sha256_file(root / path), role="video")
        for path in paths
    ]
    return Job(
        corpus="ravdess", reader="ravdess", session="Actor_01", dialogue="Actor_01",
        utterances=tuple(replace(row, label=row.raw_label) for row in rows),
        files={entry.path: entry for entry in files}, tables=(), params=params, key="bench",
    )  # fmt: skip


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, with those of its threads and ended processes."""
    began = _spent_s()
    work()
    return _spent_s() - began


def _spent_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def decode(clips: Sequence[Path]) -> int:
    """Decode every frame as staging does; return their number."""
    return sum(sum(1 for _ in decode_pictures(clip, probe_times(clip))) for clip in clips)


def compare_clips(count: int) -> None:
    """Make the clips, stage them with each arm, and print real time per core."""
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        for rate in RATES:
            clips = make_clips(Path(name), count, rate)
            root, seconds = Path(name) / rate, count * CLIP_S
            decode(clips[:1])
            least_s = cpu_s(partial(decode, clips))
            alone = f"decoding alone: {seconds / least_s:.1f} x real time a core"
            print(f"{count} clips of 1280x720, {seconds:.0f} s, {rate[:-1]} Mbit/s; {alone}")
            for number, values in enumerate(ARMS):
                params = Shards.model_validate({"detector": "yunet", **values})
                job, detector = job_of(root, clips, params), get_detector(params, settings)
                work = Path(name) / f"{rate}-{number}"
                run = partial(
                    stage_dialogue, job, root=root, work=work, detector=detector, timeout_s=settings.ffmpeg_timeout_s
                )
                spent_s = cpu_s(run)
                shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
                verdict = "reached" if seconds / spent_s >= GOAL else "not reached"
                times, least = seconds / spent_s, spent_s / least_s
                print(
                    f"  yunet, {shown}: {times:.1f} x real time a core, {least:.2f} x decoding; {GOAL:g} x {verdict}",
                    flush=True,
                )
