"""Renders the report's Markdown to HTML: tables that scroll, with a caption, small text in cells and shades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token


def to_html(text: str) -> str:
    """Return Markdown as HTML; HTML in it stays as it is, so every name in it must be escaped."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    reader.add_render_rule("table_open", _scrolling)
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return str(reader.renderer.render(_grouped(reader.parse(text)), reader.options, {}))


def _scrolling(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    label = renderer.renderAttrs(tokens[index])
    return f'<div class="scroll" tabindex="0" role="group"{label}><table{label}>\n'


def _grouped(tokens: Sequence[Token]) -> list[Token]:
    """Return tokens with each table in a group with its title and caption: the heading and paragraph before it."""
    grouped: list[Token] = []
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            start = len(grouped)
            label = ""
            for kind in ("paragraph_open", "heading_open"):
                first = grouped[start - 3] if start >= 3 else token
                if first.type == kind and first.tag != "h2":
                    label, start = _plain(grouped[start - 2]), start - 3
                    if kind == "paragraph_open":
                        first.attrSet("class", "caption")
            token.attrSet("aria-label", label)
            grouped.insert(start, Token("html_block", "", 0, content='<div class="table">\n'))
        elif token.type in ("th_open", "td_open"):
            _cell(token, tokens[index + 1], tokens[index + 2], first=tokens[index - 1].type == "tr_open")
        grouped.append(token)
        if token.type == "table_close":
            grouped.append(Token("html_block", "", 0, content="</div>\n"))
    return grouped


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _cell(start: Token, inline: Token, end: Token, *, first: bool) -> None:
    """Turn a cell of Markdown into one of the page: its class, a row's head, its shade, small text."""
    kind = "number" if "style" in start.attrs else "label"
    start.attrs.pop("style", None)
    children = inline.children or []
    if start.type == "th_open":
        start.attrSet("scope", "col")
    elif first:
        start.tag = end.tag = "th"
        start.attrSet("scope", "row")
    if children and children[0].type == "html_inline":
        kind += " shaded"
        start.attrSet("style", f"--share: {children.pop(0).content.strip('<!->')}")
    start.attrSet("class", kind)
    for at, child in enumerate(children):
        if child.type == "em_open":
            child.tag = "small"
            children[at + 1].content = children[at + 1].content.removeprefix("(")
            if at:
                children[at - 1].content = children[at - 1].content.rstrip(" ")
        elif child.type == "em_close":
            child.tag = "small"
            children[at - 1].content = children[at - 1].content.removesuffix(")")
