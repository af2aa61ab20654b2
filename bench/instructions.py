"""Measures the cost of limiting torch to instructions that every x86-64 processor with AVX2 has, as ratios in one run.

    python -m bench.instructions [--corpus drawn --variant foal --rounds 1]

The corpus must be staged (`dvc repro shards@CORPUS`). Both arms train a run in separate folders, in processes with one
thread, and multiply matrices as large as those of a pretrained encoder. The script prints CPU seconds, the ratio, and a
digest of the weights. `free` is the arm without the limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from foalnet.core.files import sha256_bytes
from foalnet.core.processor import CPUINFO, LIMITS, processor

# What each part of ATen's AVX-512 code needs; on a processor without them it dies of an illegal instruction.
WIDE = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
# As in a layer of WavLM-base on 8 s of sound, forwards and backwards.
PRODUCT = (
    "import torch; torch.set_num_threads(1)\n"
    "x = torch.randn(400, 768); w = torch.randn(3072, 768, requires_grad=True)\n"
    "for _ in range(150): (x @ w.T).sum().backward()"
)


def arms() -> dict[str, dict[str, str]]:
    """Return the variables of both arms; without the limit ATen uses the widest instructions of this processor."""
    widest = "avx512" if set(CPUINFO.read_text().split()) >= WIDE else LIMITS["ATEN_CPU_CAPABILITY"]
    return {"free": {"ATEN_CPU_CAPABILITY": widest, "ONEDNN_MAX_CPU_ISA": "ALL", "MKL_CBWR": "AUTO"}, "held": LIMITS}


def cpu_s(command: Sequence[str], folder: Path, arm: str) -> float:
    """Run a command in an arm's environment; return its CPU seconds."""
    alone = {"OMP_NUM_THREADS": "1", "FOALNET_WORKERS": "1", "FOALNET_WORK": str(folder / "work")}
    env = os.environ | arms()[arm] | alone
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, cwd=folder, env=env | {"PYTHONPATH": str(Path.cwd())}, check=True, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def trained(folder: Path, corpus: str, variant: str, arm: str) -> tuple[float, str]:
    """Train a run in an empty folder; return CPU seconds and a digest of its folds' checkpoints."""
    for name in ("data", "params.yaml"):
        (folder / name).symlink_to(Path(name).resolve())
    seconds = cpu_s(
        [sys.executable, "-m", "foalnet", "train", corpus, "--variant", variant, "--seed", "1"], folder, arm
    )
    folds = sorted((folder / "models").rglob("fold-*.safetensors"))
    return seconds, sha256_bytes("".join(sha256_bytes(path.read_bytes()) for path in folds).encode())[:12]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="drawn")
    parser.add_argument("--variant", default="foal")
    parser.add_argument("--rounds", type=int, default=1, help="the quickest counts")
    args = parser.parse_args()
    print(f"{processor()}; CPU seconds of one thread, the quickest of {args.rounds}")
    best: dict[tuple[str, str], float] = {}
    for _ in range(args.rounds):
        for arm in arms():
            with tempfile.TemporaryDirectory() as name:
                seconds, digest = trained(Path(name), args.corpus, args.variant, arm)
                product = cpu_s([sys.executable, "-c", PRODUCT], Path(name), arm)
            print(f"weights of {args.variant}, {arm}: {digest}")
            for what, took in ((f"training {args.variant}", seconds), ("products of 768 x 3072", product)):
                best[what, arm] = min(took, best.get((what, arm), took))
    for what in dict.fromkeys(what for what, _ in best):
        free, held = best[what, "free"], best[what, "held"]
        print(f"{what}: free {free:.1f}, held {held:.1f}, ratio {held / free:.2f}")


if __name__ == "__main__":
    main()
