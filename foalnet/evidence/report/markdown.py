"""Renders the page as Markdown: the same sections, sentences and tables; a figure is replaced by its caption."""

from __future__ import annotations

from foalnet.core.markdown import escape, row
from foalnet.evidence.report.view import Block, Bullets, Cell, Figure, Note, Page, Pairs, Paragraph, Table, Tables


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    parts = [f"# {escape(page.title)}", f"**{escape(page.answer[0])}**", *map(escape, page.answer[1:])]
    for section in page.sections:
        parts.append(f"## {escape(section.title)}")
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> list[str]:
    if isinstance(block, Paragraph):
        return [escape(block.text)]
    if isinstance(block, Note):
        return [f"> **Note.** {escape(block.text)}"]
    if isinstance(block, Bullets):
        return ["\n".join(f"- {escape(item)}" for item in block.items)]
    if isinstance(block, Pairs):
        # A tile reads "420 utterances tested", a pair "Protocol: name".
        lines = [f"{a} {b}" if block.tiles else f"{a}: {b}" for a, b in block.items]
        return ["\n".join(f"- {escape(line)}" for line in lines)]
    if isinstance(block, Figure):
        return [f"*Figure, in report.html: {escape(block.caption)}*"]
    if isinstance(block, Tables):
        return [part for table in block.tables for part in _table(table)]
    return _table(block)


def _table(table: Table) -> list[str]:
    lines = [
        row(escape(name) for name in table.head),
        row("---" if i < table.labels else "---:" for i in range(len(table.head))),
        *(row(map(_cell, cells)) for cells in table.rows),
    ]
    title = [f"### {escape(table.title)}"] if table.title else []
    caption = [escape(table.caption)] if table.caption else []
    return [*title, *caption, "\n".join(lines)]


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    text = f"**{text}**" if cell.strong else text
    return f"{text} ({escape(cell.small)})" if cell.small else text
