"""What a page is made of: sections of paragraphs, notes, facts, tables and figures. HTML and Markdown show the same.

All text here is plain: the renderers escape it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell: its text, a second smaller text (an interval), a shade between 0 and 1, whether it stands out."""

    text: str
    small: str = ""
    shade: float | None = None
    strong: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table: the first `labels` columns are text and name the row, the others are figures."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1
    title: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """Small tables that may stand beside each other."""

    tables: tuple[Table, ...]
    kind: Literal["tables"] = "tables"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """One paragraph."""

    text: str
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A paragraph that must not be overlooked: a gap or a caution."""

    text: str
    kind: Literal["note"] = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Terms and what they are; `tiles` asks for large figures."""

    items: tuple[tuple[str, str], ...]
    tiles: bool = False
    kind: Literal["pairs"] = "pairs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure: the macro of templates/figures.jinja that draws it, its geometry, and what to see in it."""

    macro: str
    caption: str
    data: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["figure"] = "figure"


Block = Table | Tables | Paragraph | Note | Bullets | Pairs | Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A titled part of the page; `part` groups sections under "answers" (page one) or "detail"."""

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
    """Return plain cells of values as text."""
    return tuple(value if isinstance(value, Cell) else Cell(text=str(value)) for value in values)
