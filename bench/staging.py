"""Compares staging with the least possible pixel work, and with the usual scripts, as ratios in one run.

    python -m bench.staging --table TABLE [--minutes 20] [--detectors yunet,haar] [--workers 2] [--sizes 720x480]

TABLE has one utterance per row with columns utterance, label, start_s and end_s, tab-separated, in IEMOCAP's names.
Whole dialogues with about the same density of speech as the whole table are drawn, sound and picture of both speakers.

A, the lower limit: one ffmpeg command per AVI decodes it once and encodes two fixed crops of every frame (the sizes of
the face crop and of the half picture) to MJPEG, without writing it; as many processes as workers, one thread each, the
AVIs distributed in turn.
B, the usual script, on part of the corpus: per utterance a seek, per frame of the speaker's half the same detector and
one image file; as many processes. Its cost is itemised.
Ours: `foalnet shards` as a user starts it: decode, detect, track, both crops, sound, pack, index. Next to it, the
accuracy of the same detector settings on drawn faces with known boxes (bench.faces has every condition).
With `--listener`, ours again with and without the listener's face, as a ratio of CPU seconds.
With `--sizes 720x480,1280x720,1920x1080` the same videos are measured at each size, scaled and encoded again as H.264.
An utterance that overlaps another counts twice for ours and once for A: both counts are printed.

    python -m bench.staging --clips 8

Instead stages clips of RAVDESS' form and prints times real time per core (bench.staging_clips).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.drawn_videos import CONDITIONS, DrawnVideo
from bench.faces import bounds, draw_videos
from bench.staging_clips import compare_clips
from bench.staging_rivals import Clip, floor_wall_s, people_s
from foalnet.config import load_params, load_settings
from foalnet.config.yamls import read_yaml
from foalnet.core.files import read_json, read_jsonl
from foalnet.faces import get_detector
from foalnet.media import ffmpeg_exe

HOME = Path(__file__).resolve().parent.parent
CORPUS = "iemocap"
# The half picture of the presets for IEMOCAP; the other params are those of params.yaml.
# Labels do not matter to staging.
LABELS = ("neu", "hap")
HALF = {"half_width_px": 360, "half_height_px": 240}
DRAWN_SIZE = "720x480"
VIDEOS = "*/dialog/avi/DivX/[!.]*.avi"
ROI = {"yunet": 2.0, "blazeface": 3.0}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Dialogues of a table, with the seconds of video and of speech."""

    rows: tuple[dict[str, str], ...]
    names: tuple[str, ...]
    video_s: float
    speech_s: float


def choose(table: Path, minutes: float) -> Chosen:
    """Return whole dialogues of so many minutes in total, those nearest to the table's density of speech first."""
    by: dict[str, list[dict[str, str]]] = defaultdict(list)
    with table.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            by[row["utterance"].rsplit("_", 1)[0]].append(row)
    length_s = {name: max(float(row["end_s"]) for row in rows) for name, rows in by.items()}
    speech_s = {name: sum(float(r["end_s"]) - float(r["start_s"]) for r in rows) for name, rows in by.items()}
    density = sum(speech_s.values()) / sum(length_s.values())
    names: list[str] = []
    for name in sorted(by, key=lambda name: (abs(speech_s[name] / length_s[name] - density), name)):
        if sum(length_s[n] for n in names) >= 60 * minutes:
            break
        names.append(name)
    return Chosen(
        rows=tuple(row for name in sorted(names) for row in by[name]),
        names=tuple(sorted(names)),
        video_s=sum(length_s[name] for name in names),
        speech_s=sum(speech_s[name] for name in names),
    )


def verb(folder: Path, *arguments: str, workers: int, root: Path | None = None) -> tuple[float, float]:
    """Run a verb of this installation in a folder; return its wall seconds and the MiB of its largest process.

    `root`: the corpus' root, if it differs from the project's settings. A failure ends the script.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "foalnet", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env=os.environ
        | {"FOALNET_WORKERS": str(workers), "PYTHONPATH": str(HOME)}
        | ({} if root is None else {f"FOALNET_ROOTS__{CORPUS.upper()}": str(root)}),
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"foalnet {' '.join(arguments)}: exit {process.returncode}")
    return time.monotonic() - began, used.ru_maxrss / 1024


def project(folder: Path, chosen: Chosen, workers: int) -> Path:
    """Draw the corpus and add it to a project in `folder`; return the corpus' root."""
    table, root = folder / "table.tsv", folder / "corpus"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("utterance", "label", "start_s", "end_s"), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        # Each part of the corpus has every class that its manifest needs.
        writer.writerows(row | {"label": label} for row, label in zip(chosen.rows, itertools.cycle(LABELS)))
    params = read_yaml(HOME / "params.yaml")
    del params["draw"]["rate_fps"]  # the default is IEMOCAP's
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    verb(folder, "draw", "--structure", str(table), "--out", str(root), workers=workers)
    verb(folder, "add-corpus", "iemocap", "--root", str(root), "--preset", "drawn", workers=workers)
    shards(folder, {})
    for step in ("inventory", "manifest"):
        verb(folder, step, CORPUS, workers=workers)
    return root


def shards(folder: Path, values: dict[str, Any]) -> None:
    """Set the entry's block `shards`, without expected counts: this is only a part of a corpus."""
    path = folder / "params.yaml"
    params = read_yaml(path)
    params["corpora"][CORPUS]["shards"] = HALF | values
    params["corpora"][CORPUS]["manifest"] = {"classes": {label: [label] for label in LABELS}, "contract": None}
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def clips(folder: Path, root: Path) -> list[Clip]:
    """Return every utterance with its video, in the order of the manifest."""
    return [
        Clip(
            key=row["key"],
            video=root / row["video"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            side=row["side"],
        )
        for row in read_jsonl(folder / "data" / CORPUS / "manifest.jsonl")
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the corpus, measure A, ours per detector and B; print."""
    parser = argparse.ArgumentParser(prog="python -m bench.staging", description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, help="IEMOCAP's utterances, tab-separated")
    parser.add_argument("--clips", type=int, help="stage so many clips of RAVDESS' form instead")
    parser.add_argument("--minutes", type=float, default=20.0, help="of video, at least")
    parser.add_argument("--people-s", type=float, default=60.0, help="seconds of utterances that B cuts, at least")
    parser.add_argument("--detectors", default="yunet,haar")
    parser.add_argument("--strides", default="6,12", help="the detector looks at every n-th frame")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--listener", action="store_true", help="also measure shards.listener")
    parser.add_argument("--sizes", default=DRAWN_SIZE, help="of the films; the drawn ones are 720x480")
    args = parser.parse_args(argv)
    if args.clips:
        compare_clips(args.clips)
        return
    if args.table is None:
        parser.error("give --table, or --clips")
    chosen = choose(args.table, args.minutes)
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        folder = Path(name)
        root = project(folder, chosen, args.workers)
        print_chosen(chosen, len(list(root.glob(VIDEOS))))
        made = draw_videos(folder, [condition.name for condition in CONDITIONS], sessions=2, utterances=2)
        for size in args.sizes.split(","):
            if size != DRAWN_SIZE:
                scale(root, size)
                for step in ("inventory", "manifest"):
                    verb(folder, step, CORPUS, workers=args.workers)
            print(f"pictures of {size}")
            compare(folder, root, args, made)


def scale(root: Path, size: str) -> None:
    """Replace every video by a copy at another size."""
    for video in sorted(root.glob(VIDEOS)):
        scaled = video.with_suffix(".scaled.avi")
        done = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-i", str(video), "-vf", f"scale={size}"]
        subprocess.run([*done, "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-an", str(scaled)], check=True)
        scaled.replace(video)


def print_chosen(chosen: Chosen, videos: int) -> None:
    """Print what was drawn."""
    print(
        f"{videos} dialogues, {chosen.video_s / 60:.1f} min of video, {len(chosen.rows)} utterances, "
        f"{chosen.speech_s / 60:.1f} min of them: {chosen.speech_s / chosen.video_s:.2f} s of utterances a second"
    )


def compare(folder: Path, root: Path, args: argparse.Namespace, made: dict[str, list[DrawnVideo]]) -> None:
    """Measure every arm and print its line at once."""
    videos = sorted(root.glob(VIDEOS))
    block = load_params(CORPUS, folder / "params.yaml").shards
    floor_s, frames = floor_wall_s(videos, block, workers=args.workers)
    print(f"A, floor: {floor_s:.1f} s for {frames} frames, {args.workers} ffmpeg processes of one thread")
    every = clips(folder, root)
    settings = load_settings()
    for detector in args.detectors.split(","):
        ours_s: dict[int, float] = {}
        for stride in (int(stride) for stride in args.strides.split(",")):
            shards(folder, {"detector": detector, "stride": stride, "roi": ROI.get(detector, 0.0)})
            params = load_params(CORPUS, folder / "params.yaml").shards
            ours_s[stride], peak_mib = verb(folder, "shards", CORPUS, workers=args.workers)
            cut = _cut_frames(folder)
            print(
                f"ours, {detector}, stride {stride}: {ours_s[stride]:.1f} s, {ours_s[stride] / floor_s:.2f} x A; "
                f"{cut} frames cut ({cut / frames:.2f} of A's); largest process {peak_mib:.0f} MiB"
            )
            if args.listener:
                print(f"  {_listener_cost(folder, args.workers):.2f} x the CPU seconds with shards.listener: true")
            worst = bounds(made, get_detector(params, settings), params)
            print(f"  drawn scenes, the worst condition: {worst}", flush=True)
        part = _first(every, args.people_s)
        theirs_s, split, count = people_s(part, params, settings, workers=args.workers)
        share = sum(clip.end_s - clip.start_s for clip in part) / sum(c.end_s - c.start_s for c in every)
        ratios = ", ".join(f"{theirs_s / (mine_s * share):.1f} x ours, stride {n}" for n, mine_s in ours_s.items())
        print(
            f"B, people's way, {detector}: {theirs_s:.1f} s for {count} frames "
            f"({', '.join(f'{what} {share:.0%}' for what, share in split.items())}); {ratios}"
        )


def _listener_cost(folder: Path, workers: int) -> float:
    """Return the ratio of the CPU seconds of staging with and without the listener, each from an empty work cache.

    Those of a run with nothing to stage (start, digests, index) are subtracted from both.
    """
    used_s: list[float] = []
    values = dict(read_yaml(folder / "params.yaml")["corpora"][CORPUS]["shards"])
    for listener in (False, False, True):
        # Another jpeg_quality than measured before: nothing is in the work cache.
        shards(folder, values | {"listener": listener, "jpeg_quality": 91})
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        verb(folder, "shards", CORPUS, workers=workers)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    shards(folder, values)
    without_s, again_s, with_s = used_s
    return (with_s - again_s) / (without_s - again_s)


def _cut_frames(folder: Path) -> int:
    """Return the number of frames in the shards; a frame in which both speak counts twice."""
    account = read_json(folder / "reports" / CORPUS / "staging.json")
    return int(account["frames"]["total"])


def _first(every: Sequence[Clip], seconds: float) -> list[Clip]:
    """Return utterances, spread over the corpus, of at least so many seconds in total."""
    chosen: list[Clip] = []
    step = max(1, len(every) // 40)
    for clip in [*every[::step], *every]:
        if sum(c.end_s - c.start_s for c in chosen) >= seconds:
            break
        if clip not in chosen:
            chosen.append(clip)
    return chosen


if __name__ == "__main__":
    main()
