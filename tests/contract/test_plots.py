"""history.csv as `dvc plots` reads it: what dvc.yaml declares can be drawn from what training writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from foalnet.config import Settings
from foalnet.paths import Paths
from foalnet.train import train_run
from tests.projects import REPOSITORY, run
from tests.stores import corpus_params, make_store, write_corpus

LOSSES = {"loss", "cross_entropy", "avel", "mem"}


def test_dvc_draws_the_losses_and_dev_scores_that_training_wrote(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=4))
    settings = Settings(work=tmp_path / "work", device="cpu", workers=1)
    train_run(corpus_params(epochs=1), settings, paths, variant="foal", seed=1)
    for variant in ("audio_only", "video_only", "baseline"):
        shutil.copytree(paths.model("foal", 1), Paths("drawn", tmp_path).model(variant, 1))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "python", "-m", "dvc", "init", "-q")
    told = json.loads(run(tmp_path, "python", "-m", "dvc", "plots", "show", "--json").stdout)
    assert not told.get("errors")
    points: dict[str, list[dict[str, Any]]] = {
        name: each[0]["content"]["data"]["values"] for name, each in told["data"].items()
    }
    losses, scores = points["loss of drawn foal-s1"], points["UA on the dev part of drawn"]
    assert len(losses) == 5 * len(LOSSES) and {point["fold"] for point in losses} == {
        f"Session{i}" for i in range(1, 6)
    }
    assert len(scores) == 5 * 4 and all(0 <= float(point["dev_ua"]) <= 1 for point in scores)
    shown = run(
        tmp_path, "python", "-m", "dvc", "plots", "show", "models/drawn/foal-s1/history.csv",
        "-x", "epoch", "-y", "dev_ua", "-t", "scatter", "--json",
    )  # fmt: skip
    assert "models/drawn/foal-s1/history.csv" in json.loads(shown.stdout)["data"]
