"""Profiles staging: CPU seconds by kind of work for one drawn dialogue, staged in this process.

    python -m bench.staging_profile --table TABLE [--detectors yunet,haar] [--stride 12] [--minutes 5]

TABLE is that of bench.staging; the script makes the same project and stages its longest dialogue without worker
processes. It prints CPU seconds of the main thread by kind of work, and those of the decoding thread. The profiler's
own cost is in `everything else`.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.staging import CORPUS, ROI, choose, project, shards
from foalnet.artifact.table import read_manifest
from foalnet.clips.dialogue import stage_dialogue
from foalnet.clips.plan import Job, plan
from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths
from foalnet.corpora.inventory import checked_inventory
from foalnet.stages.shards.staging import prepare, tools_of

STAGE = "bench"
# Kind of work -> prefixes of function names. Nearly all time is spent in native calls.
KINDS = {
    "detection": ("method 'detect'", "method 'detectMultiScale", "detectMultiScale"),
    "JPEG": ("imencode",),
    "colours": ("cvtColor",),
    "scaling": ("resize",),
    "copying pixels": ("_planes", "method 'copy' of 'numpy", "numpy.ascontiguousarray"),
    "sound": ("_cdata_io", "_snd"),
    "waiting for the decoder": ("method 'acquire' of '_thread",),
}


def job_of(folder: Path) -> Job:
    """Return the staging job of the longest dialogue."""
    params, settings, paths = load_params(CORPUS, folder / "params.yaml"), load_settings(), Paths(CORPUS, folder)
    utterances = read_manifest(paths.manifest)
    files = checked_inventory(paths.inventory, params).files
    tools = tools_of(params.shards, settings, utterances)
    jobs = plan(utterances, files, corpus=CORPUS, reader=params.reader, params=params.shards, tools=tools)
    return max(jobs, key=lambda job: (job.seconds, job.dialogue))


def profiled(job: Job, root: Path) -> tuple[dict[str, float], float, float]:
    """Stage a job under the profiler; return seconds by kind, CPU seconds of the main thread and of other threads."""
    settings = load_settings()
    detector = prepare(job.params, settings, needs_detector=True)
    for warm in (True, False):  # the first time loads libraries and weights
        with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as work:
            profile = cProfile.Profile(time.thread_time)
            main_s, process_s = time.thread_time(), time.process_time()
            if not warm:
                profile.enable()
            stage_dialogue(job, root=root, work=Path(work), detector=detector, timeout_s=settings.ffmpeg_timeout_s)
            profile.disable()
            main_s, process_s = time.thread_time() - main_s, time.process_time() - process_s
    return kinds_of(pstats.Stats(profile)), main_s, process_s - main_s


def kinds_of(stats: Any) -> dict[str, float]:
    """Return the functions' own time summed by kind; the rest is `everything else`."""
    spent = dict.fromkeys([*KINDS, "everything else"], 0.0)
    for (_, _, name), (_, _, own_s, _, _) in stats.stats.items():
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "everything else")
        spent[kind] += own_s
    return spent


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the corpus, profile each detector, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.staging_profile", description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="IEMOCAP's utterances, tab-separated")
    parser.add_argument("--minutes", type=float, default=5.0, help="of video to draw, at least")
    parser.add_argument("--detectors", default="yunet,haar")
    parser.add_argument("--stride", type=int, default=12)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        folder = Path(name)
        root = project(folder, choose(args.table, args.minutes), os.cpu_count() or 1)
        for detector in args.detectors.split(","):
            shards(folder, {"detector": detector, "stride": args.stride, "roi": ROI.get(detector, 0.0)})
            job = job_of(folder)
            spent, main_s, others_s = profiled(job, root)
            print(f"{detector}, stride {args.stride}, {job.seconds:.0f} s of utterances: {main_s + others_s:.1f} CPU s")
            print(f"  {'decoding, in its own thread':<28}{others_s:6.2f}")
            for kind, seconds in sorted(spent.items(), key=lambda item: -item[1]):
                print(f"  {kind:<28}{seconds:6.2f}")


if __name__ == "__main__":
    main()
