"""Defines the parts of a page: sections of paragraphs, notes, tables and figures, for both HTML and Markdown.

All text here is plain: the renderers escape it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell: its text, a second smaller text (an interval), a shade from 0 to 1, whether it is bold."""

    text: str
    small: str = ""
    shade: float | None = None
    strong: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table; its first `labels` columns are text, the others figures."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1
    title: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """Small tables that may be placed side by side."""

    tables: tuple[Table, ...]
    kind: Literal["tables"] = "tables"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """One paragraph."""

    text: str
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A highlighted paragraph: a gap or a caution."""

    text: str
    kind: Literal["note"] = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Terms and their values; with `tiles` the values are shown as large figures."""

    items: tuple[tuple[str, str], ...]
    tiles: bool = False
    kind: Literal["pairs"] = "pairs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure: the macro of templates/figures.jinja that draws it, its caption, and its geometry."""

    macro: str
    caption: str
    data: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["figure"] = "figure"


Block = Table | Tables | Paragraph | Note | Bullets | Pairs | Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A titled part of the page, on page one ("answers") or below it ("detail")."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    part: Literal["answers", "detail"] = "detail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The whole report: a title, the answer in a few sentences, and sections."""

    title: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]


def cells(values: Sequence[object]) -> tuple[Cell, ...]:
    """Return a cell for each value; a cell stays as it is."""
    return tuple(value if isinstance(value, Cell) else Cell(text=str(value)) for value in values)
