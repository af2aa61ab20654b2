"""Renders the headline table as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foalnet.evidence.report.phrases import (
    DASH,
    EFFECTS,
    KINDS,
    STAMPS,
    VARIANTS,
    few_clusters,
    frozen_text,
    level,
    p_value_text,
    percent,
    points,
    undecided,
)
from foalnet.evidence.stats import FEW_CLUSTERS

# JSON sorts variants by name; the table lists the single modalities first.
ORDER = list(VARIANTS)


def table_text(metrics: Mapping[str, Any]) -> str:
    """Return variants with their scores and intervals, and the paired differences, as aligned lines."""
    data, bounds = metrics["data"], f"{level(metrics['level'])} interval"
    with_best = any("ua_best_possible" in row for row in metrics["variants"].values())
    head = ["variant", "UA %", bounds, "WA %", bounds, "macro-F1 %", *(["best possible UA %"] if with_best else [])]
    rows = [head]
    for name, row in sorted(metrics["variants"].items(), key=lambda item: ORDER.index(item[0])):
        cells = [name]
        for metric in ("ua", "wa"):
            cells += [percent(row[metric]), f"{percent(row[f'{metric}_low'])} to {percent(row[f'{metric}_high'])}"]
        cells += [percent(row["macro_f1"]), *([percent(row.get("ua_best_possible"))] if with_best else [])]
        rows.append(cells)
    title = (
        f"{metrics['corpus']}: {data['utterances']} utterances, {data['speakers']} speakers, {metrics['classes']} "
        f"classes (guessing gives {percent(1 / metrics['classes'])} % UA), protocol {metrics['protocol']}"
    )
    lines = [title, "", *_aligned(rows)]
    frozen = {name: row.get("frozen_encoders_of") for name, row in metrics["variants"].items()}
    lines += [f"{name}: {frozen_text(of)}" for name in sorted(frozen, key=ORDER.index) if (of := frozen[name])]
    if metrics["differences"]:
        lines += ["", "differences of UA on the same utterances, in points:"]
        lines += _aligned(_differences(metrics["differences"], "ua", bounds))
        lines += _disagreements(metrics["differences"], metrics["level"])
    if data["clusters"] < FEW_CLUSTERS:
        lines += ["", few_clusters(data["clusters"], data["cluster"])]
    for name, row in metrics.get("late_average", {}).items():
        lines += ["", *_late(name, row, metrics["level"])]
    if "protocols" in metrics:
        lines += ["", f"UA % under every protocol, with its {bounds}:", *_aligned(_protocols(metrics))]
        lines += ["", "differences between the protocols, in points of UA:", *_aligned(_gaps(metrics, bounds))]
    return "\n".join(lines)


def _disagreements(differences: Mapping[str, Mapping[str, float]], share: float) -> list[str]:
    """Return one line per difference of UA whose interval and p value disagree."""
    return [
        f"  {undecided(*name.split('_minus_'))}."
        for name, row in differences.items()
        if (row["ua_low"] > 0 or row["ua_high"] < 0) != (row["ua_p"] <= 1 - share + 1e-12)
    ]


def _late(name: str, row: Mapping[str, Any], share: float) -> list[str]:
    """Return the late average's UA, each fused variant's gain over it, and the accuracy by kind where it is known."""
    of, bounds = " and ".join(row["of"]), f"{level(share)} interval"
    lines = [
        f"{name} of {of}: {percent(row['ua'])} % UA ({percent(row['ua_low'])} to {percent(row['ua_high'])})",
        *_aligned(_differences(row["differences"], "ua", bounds)),
        *_disagreements(row["differences"], share),
    ]
    if "kinds" in row:
        order = [*row["of"], name, *ORDER]
        names = sorted(next(iter(row["kinds"].values()))["right"], key=order.index)
        head = ["correct %, by kind", "utterances", *names, "best possible %"]
        rows = [
            [
                f"  {kind}",
                str(on["n"]),
                *(percent(on["right"][each]["share"]) for each in names),
                percent(max(on["right"][each]["best_possible"] for each in names)),
            ]
            for kind, on in sorted(row["kinds"].items(), key=lambda item: list(KINDS).index(item[0]))
        ]
        lines += _aligned([head, *rows])
    return lines


def _differences(differences: Mapping[str, Mapping[str, float]], metric: str, bounds: str) -> list[list[str]]:
    """Return one row per paired difference."""
    return [
        [
            f"  {name.replace('_minus_', ' minus ')}",
            points(row[metric]),
            f"{bounds} {points(row[f'{metric}_low'])} to {points(row[f'{metric}_high'])}",
            p_value_text(row[f"{metric}_p"]),
        ]
        for name, row in differences.items()
    ]


def _protocols(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Return one row per variant, one cell per protocol; the optimistic protocol is marked."""
    shown = [(name, metrics["protocols"][name]) for name in STAMPS if name in metrics["protocols"]]
    rows = [["variant", *(f"{name} (optimistic)" if row["optimistic"] else name for name, row in shown)]]
    for variant in sorted(shown[0][1]["variants"], key=ORDER.index):
        rows.append([variant, *(_score(row["variants"].get(variant)) for _, row in shown)])
    return rows


def _score(row: Mapping[str, float] | None) -> str:
    return f"{percent(row['ua'])}  {percent(row['ua_low'])} to {percent(row['ua_high'])}" if row else DASH


def _gaps(metrics: Mapping[str, Any], bounds: str) -> list[list[str]]:
    """Return one row per variant and effect."""
    return [
        [
            f"  {variant}: {EFFECTS[name]}",
            points(row["ua"]),
            f"{bounds} {points(row['ua_low'])} to {points(row['ua_high'])}",
        ]
        for variant in sorted(metrics["gaps"], key=ORDER.index)
        for name, row in sorted(metrics["gaps"][variant].items(), key=lambda item: list(EFFECTS).index(item[0]))
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return lines with padded columns: the first aligned left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
