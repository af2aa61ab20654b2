"""Estimates how long IEMOCAP takes on this machine, from the rates of staging and training the drawn corpus.

    python -m bench.iemocap --table TABLE [--detector haar|yunet] [--epochs 2]

TABLE has one utterance per row with columns utterance, label, start_s and end_s, tab-separated. Drawn videos have
IEMOCAP's size and frame rate. Staging is scaled by the seconds of all utterances, training of the small encoders by the
seconds of utterances of the four classes, cut as in params. It says nothing about the paper's encoders on a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from foalnet.config.yamls import read_yaml

HOME = Path(__file__).resolve().parent.parent
CORPUS = "drawn"
LABELS = {"hap", "exc", "neu", "sad", "ang"}
FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Size:
    """Seconds of all utterances, and of those of the four classes, cut to `max_s`."""

    all_s: float
    used_s: float


def size_of(table: Path, max_s: float) -> Size:
    """Return the seconds of a table's utterances."""
    with table.open(newline="") as file:
        rows = [
            (row["label"], float(row["end_s"]) - float(row["start_s"])) for row in csv.DictReader(file, delimiter="\t")
        ]
    return Size(
        all_s=sum(length_s for _, length_s in rows),
        used_s=sum(min(length_s, max_s) for label, length_s in rows if label in LABELS),
    )


def project(folder: Path, detector: str, epochs: int) -> dict[str, Any]:
    """Write a project with only the drawn corpus into `folder` and return its params."""
    params: dict[str, Any] = read_yaml(HOME / "params.yaml")
    del params["draw"]["rate_fps"]  # the default is IEMOCAP's
    entry = params["corpora"][CORPUS]
    roi = {"roi": 3.0} if detector == "yunet" else {}
    entry["shards"] = {"detector": detector, "half_width_px": 360, "half_height_px": 240} | roi
    entry["train"] = {"epochs": epochs, "patience": epochs}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    if (HOME / "settings.yaml").exists():
        shutil.copy(HOME / "settings.yaml", folder)
    return params


def verb(folder: Path, *arguments: str) -> None:
    """Run a verb in a folder; its output goes to the terminal."""
    subprocess.run([sys.executable, "-m", "foalnet", *arguments], cwd=folder, check=True)


def note(folder: Path, name: str) -> dict[str, Any]:
    """Return a verb's record of its speed."""
    noted: dict[str, Any] = json.loads((folder / "work" / "runs" / f"{name}.json").read_text())
    return noted


def drawn_used_s(folder: Path) -> float:
    """Return the seconds of the drawn corpus' used utterances."""
    rows = [json.loads(line) for line in (folder / "data" / CORPUS / "manifest.jsonl").read_text().splitlines()]
    return sum(row["end_s"] - row["start_s"] for row in rows if row["label"] is not None)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, scale, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.iemocap", description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="IEMOCAP's utterances, tab-separated")
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--epochs", type=int, default=2, help="epochs measured; the estimate is for params.yaml's")
    args = parser.parse_args(argv)
    wanted = read_yaml(HOME / "params.yaml")["train"]
    size = size_of(args.table, wanted["max_s"])
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        folder = Path(name)
        project(folder, args.detector, args.epochs)
        # Every variant trains its own encoders here, as IEMOCAP's entry does; `runs` says so too.
        verb(folder, "config", "--sync")
        for step in ("draw", "inventory", "manifest", "shards"):
            verb(folder, step, *([] if step == "draw" else [CORPUS]))
        staged = note(folder, f"shards-{CORPUS}")
        workers = staged["workers"]
        rate = sum(staged["dialogues"].values()) / staged["utterance_seconds"]
        print(f"workers: {workers}, detector {args.detector}")
        print(f"staging: {rate:.3f} s of a worker per second of utterance")
        print(f"  IEMOCAP, {size.all_s / 3600:.2f} h of utterances: {rate * size.all_s / workers / 60:.0f} min")
        for variant in ("audio_only", "video_only", "foal"):
            verb(folder, "train", CORPUS, "--variant", variant, "--seed", "1")
            noted = note(folder, f"train-{CORPUS}-{variant}")
            scale = size.used_s / drawn_used_s(folder)
            hours = noted["wall_s"] / noted["epochs"] * scale * wanted["epochs"] * FOLDS / 3600
            print(
                f"{variant}: {noted['wall_s'] / noted['epochs']:.2f} s an epoch of a fold here; IEMOCAP, "
                f"{size.used_s / 3600:.2f} h of four classes, {FOLDS} folds x {wanted['epochs']} epochs: {hours:.1f} h"
            )


if __name__ == "__main__":
    main()
