"""The geometry of the losses: a panel per variant and loss, scaled to its largest value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foalnet.evidence.report.figures import PANEL_HEIGHT, PANEL_LEFT, PANEL_TOP, PANEL_WIDTH, losses
from foalnet.evidence.report.results import Results, read
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances

CURVES: dict[str, tuple[float, ...]] = {
    "loss": (6.0, 3.0),
    "cross_entropy": (2.0, 1.0),
    "avel": (4.0, 2.0),
    "dev_cross_entropy": (1.0, 1.5),
}


def with_losses(results: Results, curves: dict[str, tuple[float, ...]]) -> Any:
    run = results.runs["foal"][0]
    folds = {name: replace(fold, losses=curves, epochs_run=2) for name, fold in run.facts.folds.items()}
    return replace(results, runs={"foal": (replace(run, facts=replace(run.facts, folds=folds)),)})


def test_each_loss_has_a_panel_and_the_dev_part_is_dashed(tmp_path: Path) -> None:
    params = make_params(variants=["foal"])
    results = read(params, write_report(tmp_path, params, make_utterances(params)))
    assert losses(results) is None
    drawn = losses(with_losses(results, CURVES))
    assert drawn is not None
    panels = {panel["text"]: panel for panel in drawn.data["panels"]}
    assert list(panels) == ["cross entropy", "AVEL", "weighted sum"]
    entropy = panels["cross entropy"]
    assert entropy["ticks"] == ("2", "", "0") and [kind for kind, _ in entropy["lines"]].count("curve dev") == 5
    left, right, bottom = PANEL_LEFT, PANEL_LEFT + PANEL_WIDTH, PANEL_TOP + PANEL_HEIGHT
    # From 2, the largest value, at the top to 1, the middle.
    assert entropy["lines"][0][1] == f"{left:.1f},{PANEL_TOP:.1f} {right:.1f},{(PANEL_TOP + bottom) / 2:.1f}"
    alone = losses(with_losses(results, {"loss": (2.0, 1.0), "cross_entropy": (2.0, 1.0)}))
    assert alone is not None and [panel["text"] for panel in alone.data["panels"]] == ["cross entropy"]
