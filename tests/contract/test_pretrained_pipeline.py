"""The road with pretrained encoders, under DVC: random weights in the hub's layout stand in for the published ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from foalnet.encoders import Pretrained
from tests.support.hub import needs_transformers, recorded
from tests.support.projects import change_params, repro, stages_run, verb

RUN = "drawn-foal-s1"


def wanted_params(wavlm: Pretrained, clip: Pretrained) -> dict[str, object]:
    return {
        "features": {"encoder": clip.name, "weights": clip.sha256, "frame_step": 6},
        "train": {
            "picture": "features",
            "epochs": 1,
            "lr_encoder": 2e-5,
            "audio": {"encoder": wavlm.name, "weights": wavlm.sha256},
            "video": {"encoder": "linear"},
        },
        "corpora": {"drawn": {"variants": ["foal"]}},
        "report": {"compare": []},
    }


@pytest.mark.long
def test_t88_the_road_with_pretrained_encoders_needs_no_network(tiny_project: Path, tmp_path: Path) -> None:
    """Features and train run, say which weights; again nothing to do; without the weights, exit 4 names the verb."""
    needs_transformers()
    weights = tmp_path / "weights"
    wavlm, clip = recorded(weights, "wavlm_large", pickle=True), recorded(weights, "clip_vit_l14")
    project = tmp_path / "project"
    shutil.copytree(tiny_project, project, symlinks=True)
    change_params(project, **wanted_params(wavlm, clip))
    verb(project, "config", "--sync")
    # An address that answers nothing: whatever asked the hub would fail.
    machine = {"FOALNET_WEIGHTS": str(weights), "HF_ENDPOINT": "http://127.0.0.1:9", "FOALNET_DEVICE": "cpu"}
    away = repro(project, f"train@{RUN}", check=False, **machine | {"FOALNET_WEIGHTS": str(tmp_path / "none")})
    assert away.returncode != 0 and "foalnet weights fetch clip_vit_l14" in away.stdout + away.stderr
    ran = stages_run(repro(project, f"train@{RUN}", **machine))
    assert "features@drawn" in ran and f"train@{RUN}" in ran and "shards@drawn" not in ran
    index = json.loads((project / "data/drawn/features/index.json").read_text())
    facts = json.loads((project / "models/drawn/foal-s1/train.json").read_text())
    assert index["weights"] == clip.sha256 and facts["weights"]["sha256"] == wavlm.sha256
    assert str(tmp_path) not in (project / "dvc.lock").read_text() + json.dumps(index) + json.dumps(facts)
    assert stages_run(repro(project, f"train@{RUN}", **machine)) == ["inventory@drawn"]
