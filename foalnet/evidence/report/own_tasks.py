"""Aggregates the scores of the methods' own tasks over seeds, beside chance and the best possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.evidence.metrics import rounded
from foalnet.evidence.own_tasks import DIRECTIONS
from foalnet.evidence.report.phrases import described
from foalnet.evidence.report.results import Results, Run
from foalnet.evidence.report.tables import Column, Name, Score, Table, in_order

CHANCE = "chance_"
TITLES = {
    "sound_to_picture": "picture of a sound",
    "picture_to_sound": "sound of a picture",
}
RANKED = {"p_at_1": "p@1 %", "map": "mAP %"}


def own_task_metrics(results: Results) -> dict[str, Any]:
    """Return under `own_tasks` each variant's means over seeds, and the best possible; {} without such a variant."""
    variants = {name: row for name, runs in results.runs.items() if (row := _means(runs))}
    if not variants:
        return {}
    best = results.inventory.facts.best_own_tasks if results.inventory is not None else {}
    return {"own_tasks": {"variants": variants, **({"best_possible": dict(best)} if best else {})}}


def _means(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the means over seeds, of the scores that all seeds have."""
    each = [run.facts.own_tasks for run in runs]
    retrieval = {name: _mean([own.retrieval.get(name, {}) for own in each]) for name in DIRECTIONS}
    means = {
        "retrieval": {name: row for name, row in retrieval.items() if row},
        "matching": _mean([o.matching for o in each]),
    }
    return {name: row for name, row in means.items() if row}


def _mean(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    values = {key: [row.get(key) for row in rows] for key in rows[0]}
    return {
        key: rounded(sum(known) / len(rows))
        for key, each in values.items()
        if len(known := [x for x in each if x is not None]) == len(rows)
    }


def own_task_table(metrics: Mapping[str, Any]) -> Table:
    """Return the scores of every variant with own tasks, chance and, where it is known, the best possible."""
    block = metrics.get("own_tasks", {"variants": {}})
    rows, best = block["variants"], block.get("best_possible", {})
    places = [(name, key) for name in DIRECTIONS for key in RANKED]

    def cells(row: Mapping[str, Any], prefix: str = "") -> tuple[Score | None, ...]:
        values = [row.get("retrieval", {}).get(name, {}).get(prefix + key) for name, key in places]
        values.append(row.get("matching", {}).get("chance" if prefix else "accuracy"))
        return tuple(None if value is None else Score(estimate=value) for value in values)

    lines: list[tuple[Any, ...]] = [
        (Name(text=name, says=described(name)), *cells(rows[name])) for name in in_order(rows)
    ]
    if rows:
        chances = [cells(row, CHANCE) for row in rows.values()]
        known = [next((one for one in column if one is not None), None) for column in zip(*chances, strict=True)]
        lines.append((Name(text="chance"), *known))
    if rows and best:
        limits = {(name, "p_at_1"): best.get(name) for name in DIRECTIONS}
        values = [*(limits.get(place) for place in places), best.get("matching")]
        limit = (None if value is None else Score(estimate=value) for value in values)
        lines.append((Name(text="best possible"), *limit))
    return Table(
        columns=(
            Column(title="variant", kind="name"),
            *(Column(title=f"{TITLES[name]}, {RANKED[key]}") for name, key in places),
            Column(title="matching %"),
        ),
        rows=tuple(lines),
        level=metrics["level"],
    )
