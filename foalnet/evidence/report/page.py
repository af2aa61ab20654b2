"""The page: one offline HTML file from the view. Everything in it is escaped by the template engine."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from foalnet.evidence.report.view import Page

TEMPLATES = Path(__file__).parent / "templates"
# A line must not end between a figure and its sign: "95 %", "p < 0.001".
LOOSE = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[<=])|(?<=p [<=]) (?=\d)")


def _bind(value: Any) -> Any:
    """Put no-break spaces into plain text; markup that a macro made is done already."""
    return LOOSE.sub("\N{NO-BREAK SPACE}", value) if type(value) is str else value


@cache
def engine(templates: Path) -> Environment:
    """Return the engine for a folder: autoescape is on for every template, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_bind,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(page: Page) -> str:
    """Return the page as one HTML file: inline style and SVG, no script, nothing is fetched."""
    return engine(TEMPLATES).get_template("report.html.jinja").render(page=page) + "\n"
