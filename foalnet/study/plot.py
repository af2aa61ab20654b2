"""Draws how a method decided: a heat map per explanation, rows for classes and for chosen utterances, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROW_PX, GAP_PX, NAMES_PX, CELLS_PX = 22, 14, 300, 480
# With more columns a cell is too narrow for its number, and only every few columns are named.
NUMBERED, NAMED = 8, 16
DARK = 0.55


def explained_svg(variant: str, explain: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the SVG of a variant's explanations (`foalnet.study.network.explanation`).

    Every explanation has its own scale, from 0 (or its least value) in white to its largest in blue.
    """
    parts, top = list[str](), 2 * ROW_PX
    for name, facts in explain.items():
        rows = [*facts["classes"].items(), *((_named(each), each["values"]) for each in facts["utterances"])]
        parts += _panel(name, facts["columns"], rows, top)
        top += (len(rows) + 2) * ROW_PX + GAP_PX
    width = NAMES_PX + CELLS_PX + GAP_PX
    title = f'<text class="title" x="{GAP_PX}" y="{ROW_PX}">{escape(variant)}: how it decided</text>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">',
            "<style>text { font: 12px system-ui, sans-serif; fill: #1b1f24; } .title, .panel { font-weight: 600; } "
            ".light { fill: #ffffff; } .middle { text-anchor: middle; }</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            title,
            *parts,
            "</svg>\n",
        ]
    ).encode()


def _named(example: Mapping[str, Any]) -> str:
    right = "right" if example["label"] == example["predicted"] else f"taken for {example['predicted']}"
    return f"{example['key']}: {example['label']}, {right}"


def _panel(name: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], top: int) -> list[str]:
    """Return the lines of one explanation: its name, its columns, a row for each class and utterance."""
    width = CELLS_PX / len(columns)
    every = -(-len(columns) // NAMED)
    values = [value for _, each in rows for value in each]
    low, high = min(0.0, *values), max(values)
    lines = [f'<text class="panel" x="{GAP_PX}" y="{top + 15}">{escape(name)}</text>']
    for place, column in enumerate(columns):
        if place % every == 0:
            x = NAMES_PX + (place + 0.5) * width
            lines.append(f'<text class="middle" x="{x:.1f}" y="{top + ROW_PX + 15}">{escape(column)}</text>')
    for row, (label, each) in enumerate(rows):
        y = top + (row + 2) * ROW_PX
        lines.append(f'<text x="{GAP_PX}" y="{y + 15}">{escape(label)}</text>')
        for place, value in enumerate(each):
            share = (value - low) / (high - low) if high > low else 0.0
            x = NAMES_PX + place * width
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW_PX - 2}" fill="{_blue(share)}">'
                f"<title>{escape(columns[place])}: {value:g}</title></rect>"
            )
            if len(columns) <= NUMBERED:
                shade = "middle light" if share > DARK else "middle"
                lines.append(f'<text class="{shade}" x="{x + width / 2:.1f}" y="{y + 15}">{value:.2f}</text>')
    return lines


def _blue(share: float) -> str:
    """Return a colour between white (0) and blue (1).

    >>> _blue(0.0), _blue(1.0)
    ('#ffffff', '#1f5fbf')
    """
    return "#" + "".join(f"{round(255 + share * (end - 255)):02x}" for end in (0x1F, 0x5F, 0xBF))
