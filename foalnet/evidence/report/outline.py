"""Assembles the page's sections in order: answers first, then the detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.evidence.report import detail, fusion, losses, protocols, provenance, published, staging, summary
from foalnet.evidence.report.aggregate import Comparison, Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.late import Late
from foalnet.evidence.report.standing import Standing
from foalnet.evidence.report.view import Page


def outline(
    facts: Facts,
    metrics: Mapping[str, Any],
    table: Sequence[Result],
    pairs: Sequence[Comparison],
    standings: Sequence[Standing] = (),
    averages: Sequence[Late] = (),
) -> Page:
    """Return the whole page; a section without content is left out."""
    sections = [
        summary.result(facts, table, metrics),
        summary.certainty(facts, table, pairs),
        summary.data(facts),
        summary.protocol(facts),
        losses.losses(facts),
        protocols.protocols(facts, standings, metrics),
        fusion.fusion(facts, table, averages, metrics),
        detail.folds(facts, table),
        detail.classes(facts, table),
        detail.calibration(table),
        detail.training(facts),
        staging.staging(facts),
        published.published(facts, table, standings),
        provenance.provenance(facts),
        detail.limits(facts),
    ]
    return Page(
        title=f"Emotion recognition on “{facts.params.corpus}”",
        answer=summary.answer(facts, table, pairs),
        sections=tuple(section for section in sections if section is not None),
    )
