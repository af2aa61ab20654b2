"""Renders the headline table as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foalnet.evidence.report.phrases import folds_text, frozen_text, level, people_text, percent
from foalnet.evidence.report.tables import (
    Table,
    differences,
    effects,
    in_order,
    kinds,
    protocols,
    scores,
    tall,
    wide,
)


def table_text(metrics: Mapping[str, Any]) -> str:
    """Return variants with their scores and intervals, and the paired differences, as aligned lines."""
    data, share = metrics["data"], metrics["level"]
    lines = [
        f"{metrics['corpus']}: {data['utterances']} utterances, {data['speakers']} speakers, {metrics['classes']} "
        f"classes (guessing gives {percent(1 / metrics['classes'])} % UA), protocol {metrics['protocol']}"
        f"{folds_text(metrics)}",
        "",
        *aligned(wide(scores(metrics))),
    ]
    frozen = {name: metrics["variants"][name].get("frozen_encoders_of") for name in in_order(metrics["variants"])}
    lines += [f"{name}: {frozen_text(of)}" for name, of in frozen.items() if of]
    if metrics["differences"]:
        lines += ["", "differences of UA on the same utterances, in points:"]
        lines += _headless(differences(metrics["differences"], share, columns=4))
    seeds = max(row["seeds"] for row in metrics["variants"].values())
    lines += ["", f"The intervals say {people_text(data['unit'], data['units'], seeds)}"]
    if seeds == 1:
        lines += ["One seed was trained: no figure contains what another seed would change."]
    for name, row in metrics.get("late_average", {}).items():
        lines += ["", *_late(name, row, share)]
    if "protocols" in metrics:
        lines += ["", "UA % under every protocol:", *aligned(wide(protocols(metrics, "ua")))]
        lines += ["", "differences between the protocols, in points of UA:"]
        lines += _headless(tall(effects(metrics), "UA"))
    return "\n".join(lines)


def _late(name: str, row: Mapping[str, Any], share: float) -> list[str]:
    """Return the late average's UA, each fused variant's gain over it, and the accuracy by kind where it is known."""
    return [
        f"{name} of {' and '.join(row['of'])}: {percent(row['ua'])} % UA "
        f"({percent(row['ua_low'])} to {percent(row['ua_high'])})",
        *_headless(differences(row["differences"], share, columns=4)),
        *(aligned(_indented(wide(kinds(row, name, share)))) if "kinds" in row else []),
    ]


def _headless(table: Table) -> list[str]:
    """Return indented rows without their head; the interval says what it is."""
    bounds, rows = f"{level(table.level)} interval", _indented(wide(table))
    return aligned(
        [
            [f"{bounds} {cell}" if title == bounds else cell for title, cell in zip(rows[0], row, strict=True)]
            for row in rows[1:]
        ]
    )


def _indented(rows: list[list[str]]) -> list[list[str]]:
    """Return rows with the names below the head indented."""
    return [rows[0], *([f"  {row[0]}", *row[1:]] for row in rows[1:])]


def aligned(rows: list[list[str]]) -> list[str]:
    """Return lines with padded columns: the first aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
