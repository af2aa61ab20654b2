"""Draws how a method decided: a heat map per explanation, rows for classes and for chosen utterances, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

ROW_PX, GAP_PX, CELLS_PX = 22, 14, 480
# Of a letter of the font, at most.
LETTER_PX = 7.5
# With more columns a cell is too narrow for its number, and only every few columns are named.
NUMBERED, NAMED = 8, 16
DARK = 0.55


def explained_svg(variant: str, explain: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the SVG of a variant's explanations (`foalnet.study.network.explanation`).

    Every explanation has its own scale, from 0 (or its least value) in white to its largest in blue.
    """
    panels = [
        Panel(name, facts["columns"], [*facts["classes"].items(), *_examples(facts["utterances"])])
        for name, facts in explain.items()
    ]
    names_px = GAP_PX + max(panel.names_px for panel in panels)
    width = names_px + max(panel.cells_px for panel in panels) + GAP_PX
    parts, top = list[str](), 2 * ROW_PX
    for panel in panels:
        parts += panel.drawn(names_px, top)
        top += (len(panel.rows) + 2) * ROW_PX + GAP_PX
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{top}" '
            f'viewBox="0 0 {width:.0f} {top}">',
            "<style>text { font: 12px system-ui, sans-serif; fill: #1b1f24; } .title, .panel { font-weight: 600; } "
            ".light { fill: #ffffff; } .middle { text-anchor: middle; }</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text class="title" x="{GAP_PX}" y="{ROW_PX}">{escape(variant)}: how it decided</text>',
            *parts,
            "</svg>\n",
        ]
    ).encode()


def _examples(utterances: Sequence[Mapping[str, Any]]) -> list[tuple[str, Sequence[float]]]:
    """Return a named row for each utterance."""
    right = {True: "right", False: "taken for {predicted}"}
    return [
        (f"{each['key']}: {each['label']}, {right[each['label'] == each['predicted']].format(**each)}", each["values"])
        for each in utterances
    ]


@dataclass(frozen=True)
class Panel:
    """One explanation: its name, its columns, and a named row for each class and utterance."""

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]

    @property
    def names_px(self) -> float:
        """The width of the longest row's name."""
        return GAP_PX + LETTER_PX * max(len(name) for name, _ in self.rows)

    @property
    def every(self) -> int:
        """One column of so many is named."""
        return -(-len(self.columns) // NAMED)

    @property
    def cell_px(self) -> float:
        """The width of a cell: a named column has room for its name."""
        letters = max(len(column) for column in self.columns)
        return max(CELLS_PX / len(self.columns), (LETTER_PX * letters + GAP_PX / 2) / self.every)

    @property
    def cells_px(self) -> float:
        """The width of all cells."""
        return self.cell_px * len(self.columns)

    def drawn(self, left: float, top: int) -> list[str]:
        """Return the lines of the panel, its cells from `left` on, its name at `top`."""
        values = [value for _, each in self.rows for value in each]
        low, high = min(0.0, *values), max(values)
        lines = [f'<text class="panel" x="{GAP_PX}" y="{top + 15}">{escape(self.name)}</text>']
        for place in range(0, len(self.columns), self.every):
            x, column = left + (place + 0.5) * self.cell_px, escape(self.columns[place])
            lines.append(f'<text class="middle" x="{x:.1f}" y="{top + ROW_PX + 15}">{column}</text>')
        for row, (label, each) in enumerate(self.rows):
            y = top + (row + 2) * ROW_PX
            lines.append(f'<text x="{GAP_PX}" y="{y + 15}">{escape(label)}</text>')
            for place, value in enumerate(each):
                share = (value - low) / (high - low) if high > low else 0.0
                x = left + place * self.cell_px
                lines.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{self.cell_px:.1f}" height="{ROW_PX - 2}" fill="{_blue(share)}">'
                    f"<title>{escape(self.columns[place])}: {value:g}</title></rect>"
                )
                if len(self.columns) <= NUMBERED:
                    shade = "middle light" if share > DARK else "middle"
                    middle = x + self.cell_px / 2
                    lines.append(f'<text class="{shade}" x="{middle:.1f}" y="{y + 15}">{value:.2f}</text>')
        return lines


def _blue(share: float) -> str:
    """Return a colour between white (0) and blue (1).

    >>> _blue(0.0), _blue(1.0)
    ('#ffffff', '#1f5fbf')
    """
    return "#" + "".join(f"{round(255 + share * (end - 255)):02x}" for end in (0x1F, 0x5F, 0xBF))
