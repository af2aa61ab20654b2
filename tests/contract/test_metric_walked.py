"""A metric is added in two files, as docs/add-a-metric.md says, and is then in every place that shows results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from foalnet.evidence.metrics import METRICS
from tests.contract.test_docs_walked import walk
from tests.support.projects import copy_project, run

# In a copy: evaluates runs, builds their report, prints what each place shows.
SHOW = """
import json
from pathlib import Path
from flows import artifacts
from foalnet.core.files import read_json
from foalnet.core.records import Utterance
from foalnet.evidence.report import headline
from foalnet.stages.final.card import card_facts, card_md
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances

params = make_params()
utterances = make_utterances(params)
paths = write_report(Path("there"), params, utterances)
run = read_json(paths.run("foal", 1) / "metrics.json")
card = card_facts(
    params, utterances, chosen={}, epochs=1, metrics=run, seconds=1.0, ranges={}, licence="free", drawn=True,
    machine={"device": "cpu", "threads": 1, "processor": "p", "instructions": "i"},
)
print(json.dumps({
    "run": run,
    "metrics": read_json(paths.metrics),
    "headline": read_json(paths.headline),
    "page": paths.report_html.read_text(),
    "markdown": paths.report_md.read_text(),
    "terminal": headline(paths),
    "artifact": artifacts.metrics(paths),
    "card": card_md(card),
}))
"""


@pytest.mark.long
def test_a_metric_is_two_files_and_is_shown_everywhere(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    walk(project, "add-a-metric.md")
    changed = run(project, "git", "status", "--porcelain", "-uall").stdout.split()[1::2]
    assert sorted(changed) == ["foalnet/evidence/kappa.py", "foalnet/evidence/metrics.py"]
    run(project, sys.executable, "-m", "ruff", "check", *changed)
    shown = json.loads(run(project, sys.executable, "-c", SHOW).stdout.splitlines()[-1])
    kappa = shown["run"]["pooled"]["kappa"]
    assert 0.5 < kappa < 1 and shown["run"]["over_folds"]["kappa"]["sd"] > 0
    assert all(0 < fold["kappa"] < 1 for fold in shown["run"]["folds"].values())
    assert shown["metrics"]["variants"]["foal"]["kappa"] == shown["headline"]["foal"]["kappa"] == kappa
    text = f"{100 * kappa:.1f}"
    for place in ("page", "markdown", "terminal", "artifact"):
        assert "kappa %" in shown[place] and text in shown[place], place
    assert "Kappa is the accuracy beyond chance" in shown["page"] and "Kappa is the" in shown["markdown"]
    assert f"| kappa | {text} |" in shown["card"]


def test_keys_and_names_of_metrics_are_unique() -> None:
    assert len({metric.key for metric in METRICS}) == len({metric.name for metric in METRICS}) == len(METRICS)
