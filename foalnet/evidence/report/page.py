"""Renders the report: its templates to Markdown, and this Markdown to one offline HTML file.

Every value that a template prints is escaped for Markdown; the engine of the HTML shell and figures escapes for HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from foalnet.core.ledger import IGNORED
from foalnet.core.markdown import code, escape
from foalnet.evidence.report import phrases, tables
from foalnet.evidence.report.figures import Figure
from foalnet.evidence.report.markdown import to_html

TEMPLATES = Path(__file__).parent / "templates"
# The sections by template: the answers, then the detail. A template that prints nothing gives no section.
ANSWERS = ("result", "certainty", "data", "protocol", "losses")
DETAIL = (
    "protocols",
    "fusion",
    "own_tasks",
    "folds",
    "classes",
    "calibration",
    "training",
    "staging",
    "published",
    "provenance",
    "limits",
)
# Where a line must not break: between a figure and its sign, as in "95 %" and "p < 0.001".
LOOSE = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[<=&])|(?<=p [<=]) (?=\d)|(?<=p &lt;) (?=\d)")
# A line that continues the paragraph, list item or note before it.
SOFT = re.compile(r"(?<!\n)\n(?!\n|[|#<]|> |- )")
# What would start a list or a number where a value starts a line.
START = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(phrases, name) for name in ("hours", "level", "listed", "number", "percent", "plural", "points")},
    "span": phrases.span,
    "span_short": phrases.span_short,
    "columns": lambda names: Markup(" | ").join(Markup(escape(name)) for name in names),  # noqa: S704
}


def _bind(value: Any) -> Any:
    """Put no-break spaces into plain text; a macro's markup has them already."""
    return LOOSE.sub("\N{NO-BREAK SPACE}", value) if type(value) is str else value


def _escaped(value: Any) -> Markup:
    """Return a printed value as Markdown that shows it literally; Markup is Markdown already."""
    return value if isinstance(value, Markup) else Markup(START.sub(r"\1\\\2", escape(value)))  # noqa: S704


@cache
def engine(templates: Path, finalize: Callable[[Any], Any] = _bind) -> Environment:
    """Return the template engine of a folder; autoescape is on, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markdown(facts: Mapping[str, Any]) -> str:
    """Return the report as Markdown; a figure is replaced by its caption. `facts` are the names of the templates."""
    return "\n\n".join(text for text in _prose(facts, web=False).values() if text) + "\n"


def html(facts: Mapping[str, Any]) -> str:
    """Return the report as one HTML file with inline style and SVG; it has no script and fetches nothing."""
    prose = _prose(facts, web=True)
    head = prose.pop("head")
    sections = [
        (name, text.partition("\n")[0].removeprefix("## "), headed(text)) for name, text in prose.items() if text
    ]
    title = f"Emotion recognition on “{facts['params'].corpus}”"
    shell = engine(TEMPLATES).get_template("report.html.jinja")
    body = Markup(_bind(to_html(head)))  # noqa: S704
    return shell.render(over="foalnet report", title=title, head=body, sections=sections, detail=DETAIL) + "\n"


def headed(text: str) -> tuple[Markup, Markup]:
    """Return a section's heading and the rest of it as HTML: details are folded below their heading."""
    head, end, rest = _bind(to_html(text)).partition("</h2>")
    return Markup(head + end), Markup(rest)  # noqa: S704


def _prose(facts: Mapping[str, Any], *, web: bool) -> dict[str, str]:
    """Return the Markdown of the head and of each section; for the web with figures and shades as HTML."""
    env = engine(TEMPLATES, _escaped)
    names = {
        **{name: getattr(phrases, name) for name in phrases.FOR_TEMPLATES},
        **facts,
        "IGNORED": IGNORED,
        "tables": tables,
        "code": lambda text: Markup(code(text)),  # noqa: S704
        "rule": lambda labels, figures: Markup("|" + "---|" * labels + "---:|" * figures),  # noqa: S704
        **(_on_the_web() if web else _in_a_file()),
    }
    env.filters |= FILTERS
    return {
        name: re.sub(r"\n{3,}", "\n\n", SOFT.sub(" ", env.get_template(f"{name}.md.jinja").render(names))).strip()
        for name in ("head", *ANSWERS, *DETAIL)
    }


def _in_a_file() -> dict[str, Callable[..., Markup]]:
    """Return the blocks of templates in report.md."""

    def figure(_: Figure, caller: Callable[[], str]) -> Markup:
        return Markup(f"*Figure, in report.html: {_flat(caller())}*")  # noqa: S704

    def tiles(rows: Sequence[tuple[str, str]]) -> Markup:
        return Markup("\n".join(f"- {escape(f'{value} {what}')}" for value, what in rows))  # noqa: S704

    return {
        "figure": figure,
        "tiles": tiles,
        "table": lambda table: Markup("\n".join(tables.compact(table, lambda _: ""))),  # noqa: S704
        "shade": lambda _: Markup(""),
        "beside": lambda caller: Markup(caller()),  # noqa: S704
        "fold": lambda title, caller: Markup(f"**{escape(title)}**\n\n{caller()}"),  # noqa: S704
    }


def _on_the_web() -> dict[str, Callable[..., Markup]]:
    """Return the same blocks for the page: HTML without an empty line, which would end it for Markdown."""
    blocks = engine(TEMPLATES).get_template("blocks.jinja").module

    def block(name: str, *values: Any) -> Markup:
        return Markup(re.sub(r"\n\s*\n", "\n", str(getattr(blocks, name)(*values)).strip()))  # noqa: S704

    def figure(each: Figure, caller: Callable[[], str]) -> Markup:
        caption = Markup(MarkdownIt("commonmark").renderInline(_flat(caller())))  # noqa: S704
        return block("figure", each, caption)

    def shade(share: float | None) -> Markup:
        return Markup("" if share is None else f"<!--{share:.3f}-->")  # noqa: S704

    return {
        "figure": figure,
        "tiles": lambda rows: block("tiles", rows),
        "table": lambda table: Markup("\n".join(tables.compact(table, shade))),  # noqa: S704
        "shade": shade,
        "fold": lambda title, caller: block("fold", title) + Markup(f"\n\n{caller()}\n\n</details>"),  # noqa: S704
        "beside": lambda caller: Markup(f'<div class="beside">\n\n{caller()}\n\n</div>'),  # noqa: S704
    }


def _flat(text: str) -> str:
    return " ".join(text.split())
