"""Computes each variant's scores under several protocols, and the effects that the gap between them consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foalnet.core.paths import HEADLINE
from foalnet.evidence.report.aggregate import gap_interval, score, score_row
from foalnet.evidence.report.results import Results
from foalnet.evidence.stats import Interval

OPTIMISTIC = "paper_best_on_test"
# Effect -> the two protocols that it compares. The first compares epochs of one training run, the second two training
# runs; the third is their sum.
EFFECTS = {
    "selection": (OPTIMISTIC, "loso_fixed_epochs"),
    "fourth_session": ("loso_fixed_epochs", HEADLINE),
    "together": (OPTIMISTIC, HEADLINE),
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """UA and WA of one variant by protocol, and differences of UA by effect, over the `n` utterances common to all."""

    variant: str
    n: int
    ua: Mapping[str, Interval]
    wa: Mapping[str, Interval]
    effects: Mapping[str, Interval]


def standings(results: Results) -> list[Standing]:
    """Return each variant that was scored under at least two protocols, in the order of params."""
    by_protocol = {HEADLINE: results.runs, **results.other_protocols}
    rows = []
    for variant in results.runs:
        runs = {protocol: group[variant] for protocol, group in by_protocol.items() if variant in group}
        keys = sorted(set.intersection(*(set(run.rows) for group in runs.values() for run in group)))
        if len(runs) < 2 or not keys:
            continue
        report = results.params.report
        rows.append(
            Standing(
                variant=variant,
                n=len(keys),
                ua={protocol: score(group, keys, "ua", report) for protocol, group in runs.items()},
                wa={protocol: score(group, keys, "wa", report) for protocol, group in runs.items()},
                effects={
                    name: gap_interval(runs[a], runs[b], keys, "ua", report)
                    for name, (a, b) in EFFECTS.items()
                    if a in runs and b in runs
                },
            )
        )
    return rows


def protocol_metrics(results: Results, table: Sequence[Standing]) -> dict[str, Any]:
    """Return metrics.json's entries on protocols; {} where only the headline's protocol was run."""
    if not table:
        return {}
    return {
        "protocols": {
            protocol: {
                "optimistic": protocol == OPTIMISTIC,
                "variants": {
                    row.variant: score_row("ua", row.ua[protocol]) | score_row("wa", row.wa[protocol])
                    for row in table
                    if protocol in row.ua
                },
            }
            for protocol in (HEADLINE, *results.other_protocols)
        },
        "gaps": {row.variant: {name: score_row("ua", effect) for name, effect in row.effects.items()} for row in table},
    }
