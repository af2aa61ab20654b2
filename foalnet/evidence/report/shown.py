"""Computes what the report shows of results, and names it for the templates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from foalnet.core.paths import HEADLINE
from foalnet.evidence.metrics import shown_in
from foalnet.evidence.report import figures, projection, provenance, rows
from foalnet.evidence.report.aggregate import RESAMPLED, Result, aggregate, by_variant, comparisons, gap_row
from foalnet.evidence.report.late import late, late_metrics
from foalnet.evidence.report.own_tasks import own_task_metrics, own_task_table
from foalnet.evidence.report.phrases import fold_unit, trained, trains_too
from foalnet.evidence.report.published import ours, quoted
from foalnet.evidence.report.results import Results
from foalnet.evidence.report.standing import OPTIMISTIC, protocol_metrics, standings


def shown(results: Results) -> tuple[dict[str, Any], list[Result], dict[str, Any]]:
    """Return the contents of metrics.json, each variant's scores, and the names that templates use."""
    table, pairs, by_protocol, averages = by_variant(results), comparisons(results), standings(results), late(results)
    metrics = aggregate(results, table, pairs) | protocol_metrics(results, by_protocol) | late_metrics(averages)
    metrics |= own_task_metrics(results)
    main = next((row for row in table if row.variant == "foal"), table[-1])
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
        "differences": {f"{p.a}_minus_{p.b}": gap_row("ua", p.ua) | gap_row("wa", p.wa) for p in pairs},
        "standings": by_protocol,
        "main_standing": (chosen or by_protocol[-1:])[0] if by_protocol else None,
        "averages": averages,
        "own_tasks": own_task_table(metrics),
        "quoted": quoted(results),
        "ours": ours(results, table, by_protocol),
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
