"""Computes the geometry of the figures as plain numbers; templates/figures.jinja turns them into inline SVG.

Strips (one row per variant) use percent of the width, so that they fit a phone without shrinking their text. Panels are
small pictures of a fixed size that wrap. Coordinates are rounded, so that equal numbers give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from foalnet.evidence.report.aggregate import Comparison, Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import level, percent, points
from foalnet.evidence.report.standing import Standing
from foalnet.evidence.report.view import Figure

# Short names of protocols for row labels; the caption explains them.
SHORT = {"loso_dev_session": "dev", "loso_fixed_epochs": "fixed", "paper_best_on_test": "test"}
# Inner size of a panel and its margins, in SVG units (about pixels).
PANEL_WIDTH, PANEL_HEIGHT, PANEL_LEFT, PANEL_TOP = 160, 130, 32, 8


def _at(share: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return the position of a value between two bounds, in percent of the width, clipped."""
    return round(100 * min(1.0, max(0.0, (share - low) / (high - low))), 2)


def scores(table: Sequence[Result], chance: float) -> Figure:
    """Return UA of each variant as a dot on its interval, with the best possible score and chance level."""
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
    best = "; the vertical mark is the best possible score for the variant's inputs." if table[0].best else "."
    return Figure(
        macro="strips",
        caption=(
            f"UA of each variant, from 0 to 100 %. The dot is the score, the bar its {level(table[0].ua.level)} "
            f"interval{best} The dashed line is guessing ({percent(chance)} %). All variants were tested on the same "
            "utterances, so compare two of them by the interval of their difference (section “How sure are we”), not "
            "by whether their bars overlap."
        ),
        data={
            "rows": rows,
            "line": _at(chance),
            "ticks": [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")],
        },
    )


def differences(pairs: Sequence[Comparison]) -> Figure:
    """Return the paired differences of UA as dots on their intervals, zero in the middle."""
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
            "Differences of UA on the same utterances, in percentage points. Where a bar touches the dashed line, the "
            "data do not decide which of the two is better."
        ),
        data={"rows": rows, "line": 50.0, "ticks": ticks},
    )


def protocols(table: Sequence[Standing], chance: float) -> Figure:
    """Return UA of each variant under each protocol, one strip each."""
    rows = [
        {
            "name": f"{row.variant}, {SHORT[protocol]}",
            "text": percent(ua.estimate),
            "low": _at(ua.low),
            "at": _at(ua.estimate),
            "high": _at(ua.high),
            "best": None,
        }
        for row in table
        for protocol, ua in row.ua.items()
    ]
    return Figure(
        macro="strips",
        caption=(
            "UA of each variant by protocol, from 0 to 100 %: “dev” is loso_dev_session, “fixed” loso_fixed_epochs, "
            "“test” the optimistic paper_best_on_test. The step from “fixed” to “test” of one variant is what choosing "
            "the epoch on the test part adds. The dashed line is guessing."
        ),
        data={
            "rows": rows,
            "line": _at(chance),
            "ticks": [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")],
        },
    )


def folds(table: Sequence[Result], chance: float) -> Figure:
    """Return UA of every fold as small dots and their mean as a vertical mark."""
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
            "UA of each fold (dots) and their mean (vertical mark). A wide spread means that the score depends on the "
            "speakers tested. The dashed line is guessing."
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
    """Return a panel per variant: accuracy against confidence; bins with few utterances are pale."""
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
            "Accuracy (vertical axis) by confidence (horizontal axis), each from 0 to 100 %. Bars below the diagonal "
            "mean that the variant is too confident, bars above that it is not confident enough. Pale bars hold few "
            "utterances."
        ),
        data={"panels": panels, "frame": _frame()},
    )


def curves(facts: Facts, chance: float) -> Figure:
    """Return a panel per variant: dev UA by epoch, a line per fold of the first seed, a dot at the chosen epoch."""
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
            f"UA on the dev part after each epoch (1 to {longest}), one line per fold; the dot is the chosen epoch. "
            "The dashed line is guessing. Where a line still rises at its end, more epochs might help."
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
