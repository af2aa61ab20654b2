"""Computes the geometry of the figures as plain numbers; templates/figures.jinja turns them into inline SVG.

Strips (one row per variant) use percent of the width, so that they fit a phone without shrinking their text. Panels are
small pictures of a fixed size that wrap. Coordinates are rounded, so that equal numbers give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foalnet.evidence.report.aggregate import Comparison, Result
from foalnet.evidence.report.phrases import percent, points
from foalnet.evidence.report.results import Results
from foalnet.evidence.report.standing import Standing
from foalnet.evidence.stats import Interval

# Short names of protocols for row labels; the caption explains them.
SHORT = {"loso_dev_session": "dev", "loso_fixed_epochs": "fixed", "paper_best_on_test": "test"}
# Losses by their names in a run's metrics.json: their weighted sum, and the cross-entropy of the dev part.
TOTAL, DEV_LOSS = "loss", "dev_cross_entropy"
# Inner size of a panel and its margins, in SVG units (about pixels).
PANEL_WIDTH, PANEL_HEIGHT, PANEL_LEFT, PANEL_TOP = 160, 130, 32, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure: the macro of templates/figures.jinja that draws it, and its geometry."""

    macro: str
    data: Mapping[str, Any]


def _at(share: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return the position of a value between two bounds, in percent of the width, clipped."""
    return round(100 * min(1.0, max(0.0, (share - low) / (high - low))), 2)


def _strip(name: str, score: Interval, best: float | None = None) -> dict[str, Any]:
    """Return a score as a dot on its interval, from 0 to 100 %."""
    return {
        "name": name,
        "text": percent(score.estimate),
        "low": _at(score.low),
        "at": _at(score.estimate),
        "high": _at(score.high),
        "best": None if best is None else _at(best),
    }


def _strips(rows: Sequence[Mapping[str, Any]], chance: float) -> Figure:
    ticks = [(0, "0"), (25, "25"), (50, "50"), (75, "75"), (100, "100 %")]
    return Figure(macro="strips", data={"rows": rows, "line": _at(chance), "ticks": ticks})


def scores(table: Sequence[Result], chance: float) -> Figure:
    """Return UA of each variant as a dot on its interval, with the best possible score and chance level."""
    return _strips([_strip(result.variant, result.ua, result.best) for result in table], chance)


def differences(pairs: Sequence[Comparison]) -> Figure:
    """Return the paired differences of UA as dots on their intervals, zero in the middle."""
    shown = [(pair, pair.ua.interval) for pair in pairs]
    widest = max(max(abs(each.low), abs(each.high)) for _, each in shown)
    limit = max(0.05, math.ceil(widest * 20 - 1e-9) / 20)
    rows = [
        {
            "name": f"{pair.a} minus {pair.b}",
            "text": points(each.estimate),
            "low": _at(each.low, -limit, limit),
            "at": _at(each.estimate, -limit, limit),
            "high": _at(each.high, -limit, limit),
            "best": None,
        }
        for pair, each in shown
    ]
    ticks = [(0, points(-limit)), (50, "0"), (100, points(limit))]
    return Figure(macro="strips", data={"rows": rows, "line": 50.0, "ticks": ticks})


def protocols(table: Sequence[Standing], chance: float) -> Figure:
    """Return UA of each variant under each protocol, one strip each."""
    return _strips(
        [_strip(f"{row.variant}, {SHORT[protocol]}", ua) for row in table for protocol, ua in row.ua.items()], chance
    )


def folds(table: Sequence[Result], chance: float) -> Figure:
    """Return UA of every fold as small dots and their mean as a vertical mark."""
    rows = [
        {
            "name": result.variant,
            "text": percent(result.over_folds["ua"]["mean"]),
            "dots": [_at(fold.ua) for fold in result.folds.values()],
            "best": _at(result.over_folds["ua"]["mean"]),
        }
        for result in table
    ]
    return _strips(rows, chance)


def _x(share: float) -> float:
    return round(PANEL_LEFT + share * PANEL_WIDTH, 2)


def _y(share: float) -> float:
    return round(PANEL_TOP + (1 - min(1.0, max(0.0, share))) * PANEL_HEIGHT, 2)


def reliability(table: Sequence[Result]) -> Figure:
    """Return a panel per variant: accuracy against confidence; bins with few utterances are pale."""
    panels = []
    for result in table:
        total = sum(each.n for each in result.bins)
        bars = [
            {
                "x": _x(each.low),
                "y": _y(each.accuracy),
                "width": round((each.high - each.low) * PANEL_WIDTH, 2),
                "height": round(_y(0) - _y(each.accuracy), 2),
                "opacity": round(0.7 + 0.3 * min(1.0, 4 * each.n / total), 2),
            }
            for each in result.bins
            if each.accuracy is not None
        ]
        panels.append({"name": result.variant, "text": f"ECE {percent(result.probabilities['ece'])} %", "bars": bars})
    return Figure(macro="reliability", data={"panels": panels, "frame": _frame()})


def curves(results: Results) -> Figure:
    """Return a panel per variant: dev UA by epoch, a line per fold of the first seed, a dot at the chosen epoch."""
    panels = []
    longest = max(fold.epochs_run for runs in results.runs.values() for fold in runs[0].facts.folds.values())
    for variant, runs in results.runs.items():
        lines = []
        for fold in runs[0].facts.folds.values():
            dots = [
                (_x(0 if longest == 1 else epoch / (longest - 1)), _y(score))
                for epoch, score in enumerate(fold.dev_ua_by_epoch)
            ]
            lines.append({"points": " ".join(f"{x},{y}" for x, y in dots), "chosen": dots[fold.epoch - 1]})
        panels.append({"name": variant, "text": f"seed {runs[0].seed}", "lines": lines})
    return Figure(
        macro="curves",
        data={"panels": panels, "frame": _frame(), "line": _y(results.guess), "last": longest},
    )


def losses(results: Results) -> Figure | None:
    """Return a panel per variant and loss by epoch, a line per fold of the first seed; None where none is stored.

    The dev part's cross-entropy is in the panel of the training's. A weighted sum of one loss alone has no panel.
    """
    panels = []
    folds = {name: list(runs[0].facts.folds.values()) for name, runs in results.runs.items()}
    longest = max(fold.epochs_run for each in folds.values() for fold in each)
    for variant, each in folds.items():
        stored = {name for fold in each for name in fold.losses if name != DEV_LOSS}
        names = sorted(stored, key=lambda name: (name != "cross_entropy", name == TOTAL, name))
        for name in [one for one in names if one != TOTAL or len(names) > 2]:
            kinds = {"curve": name} | ({"curve dev": DEV_LOSS} if name == "cross_entropy" else {})
            curves = [(kind, fold.losses.get(key, ())) for kind, key in kinds.items() for fold in each]
            top = max((value for _, values in curves for value in values), default=0.0) or 1.0
            lines = [
                (kind, " ".join(f"{_x(epoch / max(1, longest - 1))},{_y(v / top)}" for epoch, v in enumerate(values)))
                for kind, values in curves
                if values
            ]
            title = name.upper() if name in ("avel", "mem") else name.replace("_", " ").replace(TOTAL, "weighted sum")
            panels.append({"name": variant, "text": title, "lines": lines, "ticks": (f"{top:.3g}", "", "0")})
    return Figure(macro="losses", data={"panels": panels, "frame": _frame(), "last": longest}) if panels else None


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
