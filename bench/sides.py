"""Measures the cost of staging the listener's face: UA of the drawn corpus with swapped actors in some dialogues.

    python -m bench.sides --project SCRATCH --share 0 --share 0.5 --share 1

SCRATCH is a clone of the project for this purpose only: its params and its table of sides are changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from foalnet.artifact.table import read_manifest
from foalnet.config.yamls import read_yaml
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance

CORPUS = "drawn"
SEED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the pipeline once for each share, and print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="a scratch clone of the project")
    parser.add_argument("--share", type=float, action="append", help="of the dialogues that are swapped (0, 1)")
    given = parser.parse_args(arguments)
    project: Path = given.project.resolve()
    if project == Path.cwd().resolve():
        parser.error("--project is the folder you are in: give a clone, its params are changed")
    paths = Paths(CORPUS, project)
    if not paths.manifest.is_file():
        _dvc(project, "repro", f"manifest@{CORPUS}")
    by_share = {}
    for share in given.share or [0.0, 1.0]:
        swapped = swap(project, paths, share)
        _dvc(project, "repro", f"report@{CORPUS}")
        account = json.loads(paths.staging.read_bytes())["sides"]
        by_share[share] = json.loads(paths.metrics.read_bytes())
        print(f"swapped {swapped} of {len(account['dialogues'])} dialogues; the audit agrees in {account['agree']}")
        for variant, ua in uas(by_share[share]).items():
            print(f"  {variant:14} UA {100 * ua:5.1f}")


def swap(project: Path, paths: Paths, share: float) -> int:
    """Write a table of sides that swaps a share of the dialogues, and set params to use it; return their number."""
    firsts: dict[str, Utterance] = {}
    for u in read_manifest(paths.manifest):
        firsts.setdefault(u.dialogue, u)
    names = sorted(firsts)
    order = np.random.default_rng(SEED).permutation(len(names))
    chosen = [names[place] for place in order[: round(share * len(names))]]
    other = {"left": "right", "right": "left"}
    lines = [f"{name} {firsts[name].speaker} {other[firsts[name].side]}\n" for name in sorted(chosen)]
    params = read_yaml(project / "params.yaml")
    params["shards"]["sides"] = "table"
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), "utf-8")
    (project / params["corpora"][CORPUS]["sides_table"]).write_text("".join(lines), "utf-8")
    return len(chosen)


def uas(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the mean UA of each variant under the headline protocol."""
    return {name: row["ua"] for name, row in metrics["variants"].items()}


def _dvc(project: Path, *arguments: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, env=environment, check=True)


if __name__ == "__main__":
    main()
