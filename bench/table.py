"""Measures the first two stages on a table of many clips: seconds of the first run, and of a second with nothing new.

    python -m bench.table [--rows 10000] [--kind mp4]

Makes so many distinct clips of half a second (mp4: 64 x 48 pixels with sound; wav: 16 kHz) and a table of them, adds
the corpus, and runs `foalnet inventory` and `foalnet manifest`, each as a user starts it. A third run follows a change
of one clip. Prints wall seconds and CPU seconds of the process, its start included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from foalnet.media import ffmpeg_exe

HOME = Path(__file__).resolve().parent.parent
NAME = "many"
LABELS, SPEAKERS = ("glad", "sad"), 10
# A hashed digest is kept only of a file that has been still for a while (foalnet.corpora.inventory.RACY_NS).
STILL_S = 2.5


def make_clips(root: Path, rows: int, kind: str) -> None:
    """Write the clips and clips.csv below `root`; no two clips have the same bytes."""
    root.mkdir(parents=True)
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.5") if kind == "mp4" else ()
    codec = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest") if kind == "mp4" else ()
    sound = ("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=16000:duration=0.5")
    first = root / f"first.{kind}"
    done = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", *picture, *sound, *codec, str(first)]
    subprocess.run(done, check=True)
    data = first.read_bytes()
    first.unlink()
    lines = ["path,label,speaker"]
    for number in range(rows):
        path = root / f"s{number % SPEAKERS}" / f"{number:06d}.{kind}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(numbered(data, number, kind))
        lines.append(f"{path.relative_to(root)},{LABELS[number // SPEAKERS % 2]},s{number % SPEAKERS}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")


def numbered(data: bytes, number: int, kind: str) -> bytes:
    """Return a clip's bytes with a number in a part that no player reads."""
    if kind == "mp4":
        return data + struct.pack(">I4sQ", 16, b"free", number)
    return data + b"numb" + struct.pack("<IQ", 8, number)


def measured(folder: Path, *arguments: str) -> tuple[float, float]:
    """Run a verb in a folder; return its wall seconds and CPU seconds."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "foalnet", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(HOME)},
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"foalnet {' '.join(arguments)}: exit {process.returncode}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime


def main(argv: Sequence[str] | None = None) -> None:
    """Make the clips, run the stages, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--kind", choices=("mp4", "wav"), default="mp4")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        folder, root = Path(name), Path(name) / "clips"
        make_clips(root, args.rows, args.kind)
        shutil.copy(HOME / "params.yaml", folder)
        time.sleep(STILL_S)
        print(f"{args.rows:,} {args.kind} clips of half a second; wall s (CPU s)")
        where = ("--root", str(root), "--table", "clips.csv", "--name", NAME)
        shown("add-corpus", measured(folder, "add-corpus", "table", *where))
        for run in ("first run", "again", "one clip changed"):
            if run == "one clip changed":
                clip = root / "s0" / f"000000.{args.kind}"
                clip.write_bytes(numbered(clip.read_bytes(), args.rows, args.kind))
            for stage in ("inventory", "manifest"):
                shown(f"{stage}, {run}", measured(folder, stage, NAME))


def shown(what: str, seconds: tuple[float, float]) -> None:
    """Print one line."""
    print(f"  {what:<30}{seconds[0]:7.1f} ({seconds[1]:.1f})", flush=True)


if __name__ == "__main__":
    main()
