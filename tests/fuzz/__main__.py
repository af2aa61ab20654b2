"""Feeds hostile input to every reader until its time is up (`make fuzz`); prints the examples and every fault.

    python -m tests.fuzz [--seconds 3600] [--target NAME ...] [--seed N]

The seconds of CPU are shared out among the targets. The exit code is 1 where a fault was found; its smallest example
is printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

BATCH = 500


def fuzz(target: Target, seconds: float, seed: int, folder: Path) -> str | None:
    """Try inputs for so many seconds of CPU; return a fault in words, None where there was none."""
    end = time.process_time() + seconds

    def one(data: Any) -> None:
        if time.process_time() < end:
            target.run(data, folder)

    while time.process_time() < end:
        settings = hypothesis.settings(
            max_examples=BATCH, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        test = hypothesis.seed(seed)(settings(hypothesis.given(target.drawn)(one)))
        seed += 1
        try:
            test()
        except Exception:
            return traceback.format_exc()
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz every requested target and print the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="of CPU, all targets together")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chosen = [target for target in TARGETS if not options.target or target.name in options.target]
    faults = 0
    print(f"seed {options.seed}")
    for target in chosen:
        target.drawn  # noqa: B018 (making the seeds is no part of the time)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            fault = fuzz(target, options.seconds / len(chosen), options.seed * 1_000_000, Path(folder))
        faults += fault is not None
        print(f"{target.name}: {target.tried:,} examples, {target.accepted:,} of them accepted", flush=True)
        if fault is not None:
            print(f"FAULT in {target.name}\n{fault}", flush=True)
    print(f"{sum(target.tried for target in chosen):,} examples, {faults} targets with a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
