"""Compares the flow `stage_corpus` with `dvc repro` in CPU seconds of all processes, as ratios in one run.

    git clone . SCRATCH && PREFECT_API_URL=… python -m bench.flow --project SCRATCH

SCRATCH is a scratch project; its drawn corpus is drawn first where it is absent. A server (`make serve`) must be
running: its own CPU seconds are not counted, those of a server that a flow starts for itself would be.
Cold: no dialogue is in the work cache. Cached: all are, and the shards must be packed. Nothing: all is up to date.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from foalnet.config.yamls import read_yaml

CORPUS = "drawn"
STAGE = f"shards@{CORPUS}"
FLOW = "from flows.staging import stage_corpus\nif __name__ == '__main__': print(stage_corpus())\n"


def cpu_s(project: Path, *arguments: str) -> float:
    """Run a Python program in the project; return the CPU seconds of all its processes. A failure ends the script."""
    env = os.environ | {"PYTHONPATH": str(project), "FOALNET_HOME": str(project), "DVC_NO_ANALYTICS": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=project, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def forget(project: Path, *, clips: bool) -> None:
    """Remove the shards and DVC's records of them, and with `clips` also the staged dialogues."""
    lock = project / "dvc.lock"
    recorded = read_yaml(lock)
    recorded["stages"].pop(STAGE, None)
    lock.write_text(yaml.safe_dump(recorded, sort_keys=False), "utf-8")
    gone = [project / "data" / CORPUS / "shards", project / ".dvc" / "cache" / "runs"]
    for folder in [*gone, *([project / "work" / "clips"] if clips else [])]:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="a clone to be spoilt")
    project = parser.parse_args(arguments).project.resolve()
    if "PREFECT_API_URL" not in os.environ:
        sys.exit("PREFECT_API_URL is not set: start `make serve` first")
    flow = project / "bench_flow.py"
    flow.write_text(FLOW, "utf-8")
    repro = ("-m", "dvc", "repro")
    cpu_s(project, *repro, f"manifest@{CORPUS}")

    sys.stdout.write("CPU s     repro  flow   ratio\n")
    for name, clips in (("cold", True), ("cached", False)):
        forget(project, clips=clips)
        repro_s = cpu_s(project, *repro, STAGE)
        forget(project, clips=clips)
        show(name, repro_s, cpu_s(project, flow.name))
    show("nothing", cpu_s(project, *repro, STAGE), cpu_s(project, flow.name))


def show(name: str, repro_s: float, flow_s: float) -> None:
    """Print a line of the table."""
    sys.stdout.write(f"{name:7} {repro_s:6.1f} {flow_s:6.1f} {flow_s / repro_s:7.2f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
