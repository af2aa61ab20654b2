"""Measures the first report: CPU seconds of every stage, and wall seconds, of a clone of this checkout's HEAD.

    python -m bench.first_run                # in a temporary folder, removed at the end
    python -m bench.first_run --keep FOLDER  # the clone stays there

It runs what `make run` runs after the installation, `foalnet run`. Its stages share a process (Linux: /proc); the first
training also pays for the import of torch. `of DVC`: the plan, digests, cache and record.
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
STAGE = re.compile(r"\d+ of \d+: foalnet (?P<verb>\S+)|recording")
DVC = "of DVC"
TWO_AT_A_TIME = "train evaluate final report"
# As in make run: no analytics.
QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


def main() -> None:
    """Clone, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="clone to here and leave it")
    arguments = parser.parse_args()
    with folder_of(arguments.keep) as folder:
        subprocess.run(["git", "clone", "-q", str(HOME), str(folder)], check=True)
        rows, wall_s = measured(folder)
    print(table(rows, wall_s))


@contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """Yield the folder to clone to: the given one, else a temporary one."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch) / "clone"


def measured(folder: Path) -> tuple[list[tuple[str, float]], float]:
    """Run `foalnet run` in a clone; return (stage, CPU s) in the order of the run, and the wall s of the whole.

    What comes before the first stage and after the last one is DVC's: the plan, and the record.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began_s, rows, lines = time.monotonic(), list[tuple[str, float]](), list[str]()
    with subprocess.Popen(
        [sys.executable, "-m", "foalnet", "run"],
        cwd=folder,
        env=os.environ | QUIET | {"PATH": path, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        stage, before_s = DVC, 0.0
        assert run.stdout is not None
        for line in run.stdout:
            lines.append(line)
            if match := STAGE.match(line):
                now_s = spent_s(run.pid)
                rows.append((stage, now_s - before_s))
                stage, before_s = match["verb"] or DVC, now_s
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit("".join(lines[-30:]) + f"foalnet run ended with {run.returncode}")
    rows.append((stage, usage.ru_utime + usage.ru_stime - before_s))
    return rows, time.monotonic() - began_s


def spent_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def table(rows: list[tuple[str, float]], wall_s: float) -> str:
    """Return the table; all runs of one verb share a line."""
    groups: dict[str, list[float]] = {}
    for name, cpu_s in rows:
        # These run two at a time in processes of their own, which count when they end.
        groups.setdefault(TWO_AT_A_TIME if name in TWO_AT_A_TIME.split() else name, []).append(cpu_s)
    # DVC's own is no stage.
    dvc_s, every_s = sum(groups.pop(DVC)), sum(cpu_s for _, cpu_s in rows)
    shown = [(name, len(each), sum(each)) for name, each in groups.items()]
    shown += [(DVC, 1, dvc_s), ("all", sum(count for _, count, _ in shown), every_s)]
    width = max(len(name) for name, _, _ in shown)
    lines = [f"{'stage':{width}}  runs  CPU s"]
    lines += [f"{name:{width}}  {count:4d}  {cpu_s:5.1f}" for name, count, cpu_s in shown]
    return "\n".join([*lines, f"{wall_s:.0f} s of wall time, {os.cpu_count()} cores"])


if __name__ == "__main__":
    main()
