"""The headline table as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foalnet.report.words import VARIANTS, level, p_value_text, percent, points

# JSON is sorted by name; a reader expects the single modalities first.
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
    if metrics["differences"]:
        lines += ["", "differences of UA on the same utterances, in points:"]
        lines += _aligned(
            [
                [
                    f"  {name.replace('_minus_', ' minus ')}",
                    points(row["ua"]),
                    f"{bounds} {points(row['ua_low'])} to {points(row['ua_high'])}",
                    p_value_text(row["ua_p"]),
                ]
                for name, row in metrics["differences"].items()
            ]
        )
    return "\n".join(lines)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Pad columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
