"""Reads a page as a browser would: its elements, its visible text, its tables, what it would fetch."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "line", "circle", "rect", "polyline"}


class Page(HTMLParser):
    """Elements by name, visible text, cell texts of each table, and every address the page names."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.tables: list[list[list[str]]] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.faults: list[str] = []
        self.feed(source)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value or "")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "small":
            self.tables[-1][-1][-1] += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
            return
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")


def markdown_tables(source: str) -> list[list[list[str]]]:
    """Return the tables of a Markdown text as rows of cell texts, escapes undone."""
    tables: list[list[list[str]]] = []
    inside = False
    for line in source.splitlines():
        if line.startswith("|"):
            if not inside:
                tables.append([])
            inside = True
            row = _cells(line)
            if not all(set(cell) <= {"-", ":"} and cell for cell in row):
                tables[-1].append(row)
        else:
            inside = False
    return tables


def _cells(line: str) -> list[str]:
    cells, escaped = [""], False
    for sign in line[1:].rstrip().removesuffix("|"):
        if escaped:
            cells[-1] += sign
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "|":
            cells.append("")
        elif sign != "*":
            cells[-1] += sign
    plain = [("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
    for code, sign in plain:
        cells = [cell.replace(code, sign) for cell in cells]
    return [cell.strip() for cell in cells]
