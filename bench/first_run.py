"""Measures the first report: CPU and wall seconds of every stage of `dvc repro` in a clone of this checkout's HEAD.

    python -m bench.first_run                # in a temporary folder, removed at the end
    python -m bench.first_run --keep FOLDER  # the clone stays there

It runs what `make run` runs after the installation. A stage's seconds are those of the command that DVC started for it
(Linux: /proc). `of DVC` are those of DVC itself: its start, digests, its cache.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
STAGE = re.compile(r"Running stage '(?P<name>[^']+)'")
# As in make run: no analytics.
QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


def main() -> None:
    """Clone, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="clone to here and leave it")
    arguments = parser.parse_args()
    with folder_of(arguments.keep) as folder:
        subprocess.run(["git", "clone", "-q", str(HOME), str(folder)], check=True)
        rows, total_s, wall_s = measured(folder)
    print(table(rows, total_s, wall_s))


@contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """Yield the folder to clone to: the given one, else a temporary one."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch) / "clone"


def measured(folder: Path) -> tuple[list[tuple[str, float]], float, float]:
    """Run `dvc repro` in a clone; return (stage, CPU s) in the order of the run, CPU s and wall s of the whole."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began_s, rows = time.monotonic(), list[tuple[str, float]]()
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=folder,
        env=os.environ | QUIET | {"PATH": path, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as dvc:
        stage, before_s, lines = "", 0.0, list[str]()
        assert dvc.stdout is not None
        for line in dvc.stdout:
            lines.append(line)
            if match := STAGE.search(line):
                # Processes of DVC that end before the next stage begins belong to the previous stage.
                now_s = children_s(dvc.pid)
                rows += [(stage, now_s - before_s)] if stage else []
                stage, before_s = match["name"], now_s
            last_s = children_s(dvc.pid) or before_s
        _, status, usage = os.wait4(dvc.pid, 0)
        dvc.returncode = os.waitstatus_to_exitcode(status)
    if dvc.returncode:
        raise SystemExit("".join(lines[-30:]) + f"dvc repro ended with {dvc.returncode}")
    total_s = usage.ru_utime + usage.ru_stime
    rows.append((stage, last_s - before_s))
    return rows, total_s, time.monotonic() - began_s


def children_s(pid: int) -> float:
    """Return the CPU seconds of the ended child processes of `pid`; 0 where `pid` itself has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def table(rows: list[tuple[str, float]], total_s: float, wall_s: float) -> str:
    """Return the table; all runs of one verb share a line."""
    groups: dict[str, list[float]] = {}
    for name, cpu_s in rows:
        groups.setdefault(name.partition("@")[0], []).append(cpu_s)
    shown = [(name, len(each), sum(each)) for name, each in groups.items()]
    shown += [("of DVC", 1, total_s - sum(cpu_s for _, cpu_s in rows)), ("all", len(rows), total_s)]
    width = max(len(name) for name, _, _ in shown)
    lines = [f"{'stage':{width}}  runs  CPU s"]
    lines += [f"{name:{width}}  {count:4d}  {cpu_s:5.1f}" for name, count, cpu_s in shown]
    return "\n".join([*lines, f"{wall_s:.0f} s of wall time, {os.cpu_count()} cores"])


if __name__ == "__main__":
    main()
