"""A named split with a fixed test part through the real DVC: only its test part is scored, and `verify` agrees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from foalnet.corpora.named import NAMED
from tests.support.projects import TINY, change_params, copy_project, repro, stages_run, verb

NAME = "iemocap6-erc-100-20-31"


@pytest.mark.long
def test_a_fixed_split_ends_in_a_report_that_verifies(tmp_path: Path) -> None:
    project, split = copy_project(tmp_path / "project"), NAMED[NAME]
    classes = {label: list(raws) for label, raws in split.classes.items()}
    # Two dialogues a session: of session 4 the first is in the train part, the second in the dev part.
    draw = TINY["draw"] | {"dialogues_per_session": 2, "unused_per_dialogue": 6}
    entry = {"variants": ["audio_only"], "final": {"variant": "audio_only"}, "train": {"fold_by": NAME}}
    change_params(project, **TINY | {"draw": draw}, corpora={"drawn": entry})
    text = (project / "params.yaml").read_text()
    assert text.count("happy:") == 1
    change_params(project, corpora={"drawn": {"manifest": {"classes": {"happy": ["hap"]} | classes}}})
    verb(project, "config", "--sync")
    ran = stages_run(repro(project))
    assert {"train@drawn-audio_only-s1", "evaluate@drawn-audio_only-s1", "final@drawn", "report@drawn"} <= set(ran)
    rows = [
        json.loads(line)
        for line in (project / "reports/drawn/runs/audio_only-s1/predictions.jsonl").read_text().splitlines()
    ]
    assert rows and {row["session"] for row in rows} == {"Session5"}
    metrics = json.loads((project / "reports/drawn/metrics.json").read_text())
    assert metrics["named_split"]["digest"] == split.digest and metrics["named_split"]["counts_differ"]
    assert metrics["data"]["utterances"] == len(rows)
    assert f"split {NAME}" in verb(project, "show", "drawn").stdout
    assert "trained on all parts, the test part included" in (project / "models/drawn/final/card.md").read_text()
    assert f"1 fold by {NAME}" in verb(project, "splits", "drawn").stdout
    verified = verb(project, "verify", "drawn", check=False)
    for link in ("facts", "logits", "predictions", "metrics"):
        assert re.search(rf"(?m)^ok +.*audio_only-s1 {link}", verified.stdout), verified.stdout
    assert not re.search(r"(?m)^differs +.*(audio_only|final|figures|page)", verified.stdout), verified.stdout
