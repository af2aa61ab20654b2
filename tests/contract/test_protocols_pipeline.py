"""Other protocols and the half picture through the real DVC: one more run where it is asked for, nothing else again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.projects import change_params, repro, stages_run, verb

ALL = ["loso_dev_session", "loso_fixed_epochs", "paper_best_on_test"]


@pytest.mark.long
def test_two_more_protocols_cost_one_more_run_and_leave_the_others_alone(tiny_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(tiny_project, project, symlinks=True)
    before = json.loads((project / "reports/drawn/metrics.json").read_text())
    change_params(project, corpora={"drawn": {"protocols": ALL, "variants": ["audio_only", "foal_half"]}})
    refused = verb(project, "inventory", "drawn", check=False)
    assert refused.returncode == 2 and "foalnet config --sync" in refused.stderr
    verb(project, "config", "--sync")
    ran = stages_run(repro(project))
    new = ["audio_only-s1-four", "foal_half-s1", "foal_half-s1-four"]
    runs = [f"{stage}@drawn-{name}" for stage in ("train", "evaluate") for name in new]
    # The final model was that of foal, which is no longer among the variants.
    assert sorted(ran) == sorted(["inventory@drawn", *runs, "final@drawn", "report@drawn"])
    metrics = json.loads((project / "reports/drawn/metrics.json").read_text())
    assert metrics["variants"]["audio_only"] == before["variants"]["audio_only"], "the headline's run is the same"
    assert list(metrics["protocols"]) == sorted(ALL)
    for name in ("audio_only-s1-four", "foal_half-s1-four"):
        for protocol in ALL[1:]:
            rows = (project / f"reports/drawn/runs/{name}/{protocol}/predictions.jsonl").read_text().splitlines()
            assert len(rows) == 40, "each used utterance is tested exactly once"
    shown = verb(project, "show", "drawn").stdout
    assert "paper_best_on_test (optimistic)" in shown
    assert stages_run(repro(project)) == ["inventory@drawn"]
