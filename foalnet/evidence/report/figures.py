"""Geometry of the figures, as plain numbers that templates/figures.jinja turns into inline SVG.

Strips (one row per variant) use percent of the width, so that they fit a phone without shrinking their text. Panels are
small pictures of a fixed size that wrap. Coordinates are rounded: the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from foalnet.evidence.report.aggregate import Comparison, Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.standing import Standing
from foalnet.evidence.report.view import Figure
from foalnet.evidence.report.words import level, percent, points

# Protocols where there is little room; the caption says what they mean.
SHORT = {"loso_dev_session": "dev", "loso_fixed_epochs": "fixed", "paper_best_on_test": "test"}
# Inner size of a panel and its margins, in SVG units (about pixels).
PANEL_WIDTH, PANEL_HEIGHT, PANEL_LEFT, PANEL_TOP = 160, 130, 32, 8


def _at(share: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return where a value lies between two bounds, in percent of the width, clipped."""
    return round(100 * min(1.0, max(0.0, (share - low) / (high - low))), 2)


def scores(table: Sequence[Result], chance: float) -> Figure:
    """UA of each variant as a dot on its interval, beside the best possible and chance."""
    rows = [
        {
            "name": result.variant,
            "text": percent(result.ua.estimate),
            "low": _at(result.ua.low),
            "at": _at(result.ua.estimate),
            "high": _at(result.ua.high),
            "best": None if result.best is None else _at(result.best),
        }
        for result in table
    ]
    best = "; the upright mark is the best possible score of what the variant sees." if table[0].best else "."
    return Figure(
        macro="strips",
        caption=(
            f"UA of each variant, from 0 to 100 %. The dot is the score, the bar its {level(table[0].ua.level)} "
            f"interval{best} The dashed line is guessing ({percent(chance)} %). The variants were "
            "tested on the same utterances, so two of them are compared by the interval of their difference (How sure "
            "are we), not by whether their bars overlap."
        ),
        data={
            "rows": rows,
            "line": _at(chance),
            "ticks": [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")],
        },
    )


def differences(pairs: Sequence[Comparison]) -> Figure:
    """Paired differences of UA as dots on their intervals, zero in the middle."""
    widest = max(max(abs(pair.ua.interval.low), abs(pair.ua.interval.high)) for pair in pairs)
    limit = max(0.05, math.ceil(widest * 20 - 1e-9) / 20)
    rows = [
        {
            "name": f"{pair.a} minus {pair.b}",
            "text": points(pair.ua.interval.estimate),
            "low": _at(pair.ua.interval.low, -limit, limit),
            "at": _at(pair.ua.interval.estimate, -limit, limit),
            "high": _at(pair.ua.interval.high, -limit, limit),
            "best": None,
        }
        for pair in pairs
    ]
    ticks = [(0, points(-limit)), (50, "0"), (100, points(limit))]
    return Figure(
        macro="strips",
        caption=(
            "Differences of UA on the same utterances, in percentage points. A bar that touches the dashed line leaves "
            "open which of the two is better."
        ),
        data={"rows": rows, "line": 50.0, "ticks": ticks},
    )


def protocols(table: Sequence[Standing], chance: float) -> Figure:
    """UA of each variant under each protocol, a strip for each."""
    rows = [
        {
            "name": f"{row.variant}, {SHORT[protocol]}",
            "text": percent(found.estimate),
            "low": _at(found.low),
            "at": _at(found.estimate),
            "high": _at(found.high),
            "best": None,
        }
        for row in table
        for protocol, found in row.ua.items()
    ]
    return Figure(
        macro="strips",
        caption=(
            "UA of each variant by protocol, from 0 to 100 %: “dev” is loso_dev_session, “fixed” loso_fixed_epochs, "
            "“test” the optimistic paper_best_on_test. Within a variant the step from “fixed” to “test” is "
            "what choosing on the test part adds. The dashed line is guessing."
        ),
        data={
            "rows": rows,
            "line": _at(chance),
            "ticks": [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")],
        },
    )


def folds(table: Sequence[Result], chance: float) -> Figure:
    """UA of every fold as small dots, their mean as an upright mark."""
    rows = [
        {
            "name": result.variant,
            "text": percent(result.over_folds["ua"]["mean"]),
            "dots": [_at(fold["ua"]) for fold in result.folds.values()],
            "best": _at(result.over_folds["ua"]["mean"]),
        }
        for result in table
    ]
    return Figure(
        macro="strips",
        caption=(
            "UA of each fold (dots) and their mean (upright mark). A wide spread means that the score depends on who "
            "is tested. The dashed line is guessing."
        ),
        data={
            "rows": rows,
            "line": _at(chance),
            "ticks": [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")],
        },
    )


def _x(share: float) -> float:
    return round(PANEL_LEFT + share * PANEL_WIDTH, 2)


def _y(share: float) -> float:
    return round(PANEL_TOP + (1 - min(1.0, max(0.0, share))) * PANEL_HEIGHT, 2)


def reliability(table: Sequence[Result]) -> Figure:
    """One panel per variant: share right against confidence; the fewer utterances a bin holds, the paler it is."""
    panels = []
    for result in table:
        total = sum(row["n"] for row in result.bins)
        bars = [
            {
                "x": _x(row["low"]),
                "y": _y(row["accuracy"]),
                "width": round((row["high"] - row["low"]) * PANEL_WIDTH, 2),
                "height": round(_y(0) - _y(row["accuracy"]), 2),
                "opacity": round(0.25 + 0.75 * min(1.0, 4 * row["n"] / total), 2),
                "cx": _x(row["confidence"]),
            }
            for row in result.bins
            if row["n"]
        ]
        panels.append({"name": result.variant, "text": f"ECE {percent(result.ece)} %", "bars": bars})
    return Figure(
        macro="reliability",
        caption=(
            "How often a variant is right (upwards) when it is this confident (to the right), from 0 to 100 % each. "
            "Bars below the diagonal mean that it is surer than it should be, bars above that it is too modest. Pale "
            "bars hold few utterances."
        ),
        data={"panels": panels, "frame": _frame()},
    )


def curves(facts: Facts, chance: float) -> Figure:
    """One panel per variant: dev UA by epoch, a line per fold of the first seed, a dot where the epoch was chosen."""
    panels = []
    longest = max(fold["epochs_run"] for runs in facts.runs.values() for fold in runs[0].metrics["folds"].values())
    for variant, runs in facts.runs.items():
        lines = []
        for _, fold in sorted(runs[0].metrics["folds"].items()):
            dots = [
                (_x(0 if longest == 1 else epoch / (longest - 1)), _y(score))
                for epoch, score in enumerate(fold["dev_ua_by_epoch"])
            ]
            lines.append({"points": " ".join(f"{x},{y}" for x, y in dots), "chosen": dots[fold["epoch"] - 1]})
        panels.append({"name": variant, "text": f"seed {runs[0].seed}", "lines": lines})
    return Figure(
        macro="curves",
        caption=(
            f"UA on the dev part after each epoch (1 to {longest}), one line per fold; the dot is the epoch that was "
            "chosen. The dashed line is guessing. A line that still rises at its end might gain from more epochs."
        ),
        data={"panels": panels, "frame": _frame(), "line": _y(chance), "last": longest},
    )


def _frame() -> dict[str, Any]:
    return {
        "left": PANEL_LEFT,
        "right": PANEL_LEFT + PANEL_WIDTH,
        "top": PANEL_TOP,
        "bottom": PANEL_TOP + PANEL_HEIGHT,
        "middle": PANEL_TOP + PANEL_HEIGHT / 2,
        "width": PANEL_LEFT + PANEL_WIDTH + 8,
        "height": PANEL_TOP + PANEL_HEIGHT + 22,
    }
