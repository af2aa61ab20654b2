"""Computes what the report shows of results, and names it for the templates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from foalnet.core.paths import HEADLINE
from foalnet.evidence.metrics import shown_in
from foalnet.evidence.report import cells, figures, leakage, previous, projection, provenance, rows
from foalnet.evidence.report.aggregate import (
    RESAMPLED,
    Comparison,
    Result,
    aggregate,
    by_variant,
    comparisons,
    settled,
)
from foalnet.evidence.report.late import Late, late, late_metrics
from foalnet.evidence.report.own_tasks import own_task_metrics, own_task_table
from foalnet.evidence.report.phrases import fold_unit, trained, trains_too
from foalnet.evidence.report.published import ours, quoted
from foalnet.evidence.report.results import Results
from foalnet.evidence.report.standing import OPTIMISTIC, protocol_metrics, standings


def _settled(
    pairs: Sequence[Comparison], averages: Sequence[Late], margin: float
) -> tuple[list[Comparison], list[Late]]:
    """Return comparisons and late averages with p values adjusted for all differences of the page together."""
    every = settled([*pairs, *(pair for average in averages for pair in average.gains)], margin)
    by_name = {pair.name: pair for pair in every}
    return (
        [by_name[pair.name] for pair in pairs],
        [replace(each, gains=tuple(by_name[pair.name] for pair in each.gains)) for each in averages],
    )


def shown(
    results: Results, before: previous.Earlier | None = None
) -> tuple[dict[str, Any], list[Result], dict[str, Any]]:
    """Return the contents of metrics.json, each variant's scores, and the names that templates use.

    `before`: the earlier report that this one is compared with.
    """
    table, by_protocol = by_variant(results), standings(results)
    pairs, averages = _settled(comparisons(results), late(results), results.params.report.margin)
    metrics = aggregate(results, table, pairs) | protocol_metrics(results, by_protocol) | late_metrics(averages)
    metrics |= own_task_metrics(results)
    metrics |= {"origin": {name: provenance.trained_by(results, name) for name in previous.ORIGIN}}
    about = cells.headline_variant([row.variant for row in table])
    main = next(row for row in table if row.variant == about)
    chosen = [row for row in by_protocol if row.variant == "foal"]
    named = results.named
    cluster, rule = results.facts.cluster, named.rule if named else None
    unit = fold_unit(cluster)
    names = {
        "results": results,
        "params": results.params,
        "metrics": metrics,
        "variants": table,
        "main": main,
        "pairs": pairs,
        "differences": metrics["differences"],
        "compared": len(pairs) + sum(len(average.gains) for average in averages),
        "people": results.first.unit,
        "guess_nats": math.log(len(results.facts.classes)),
        "standings": by_protocol,
        "main_standing": (chosen or by_protocol[-1:])[0] if by_protocol else None,
        "averages": averages,
        "own_tasks": own_task_table(metrics),
        "quoted": quoted(results),
        "ours": ours(results, table, by_protocol),
        "sides": (sides := leakage.sides(results)),
        "apart": leakage.apart(sides),
        "changes": [] if before is None else previous.changes(before, metrics, results.params),
        "cells": cells.errors(results, main.variant),
        "singles": [name for name in cells.singles(results) if name != main.variant],
        "CELLS": cells.CELLS,
        "LISTED": cells.LISTED,
        "clouds": projection.answers(results, main.variant),
        "cluster": cluster,
        "named": named,
        "folding": rule or "rotation",
        "shared": trained(asdict(named)) if named and named.test_speakers_in_training else "",
        "more": trains_too(cluster, rule),
        "unit": "part" if named and named.fixed else unit,
        "units": "groups of speakers" if unit == "group of speakers" else "sessions",
        "halves": rows.halves(results),
        "figures": figures,
        "provenance": provenance,
        "rows": rows,
        "SHOWN": shown_in(next(iter(metrics["variants"].values()))),
        "RESAMPLED": RESAMPLED,
        "HEADLINE": HEADLINE,
        "OPTIMISTIC": OPTIMISTIC,
    }
    return metrics, table, names
