"""Renders the page as one offline HTML file; the template engine escapes everything in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from foalnet.evidence.report.view import Page

TEMPLATES = Path(__file__).parent / "templates"
# Where a line must not break: between a figure and its sign, as in "95 %" and "p < 0.001".
LOOSE = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[<=])|(?<=p [<=]) (?=\d)")


def _bind(value: Any) -> Any:
    """Put no-break spaces into plain text; a macro's markup has them already."""
    return LOOSE.sub("\N{NO-BREAK SPACE}", value) if type(value) is str else value


@cache
def engine(templates: Path) -> Environment:
    """Return the template engine of a folder; autoescape is on, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_bind,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(page: Page) -> str:
    """Return the page as one HTML file with inline style and SVG; it has no script and fetches nothing."""
    return engine(TEMPLATES).get_template("report.html.jinja").render(page=page) + "\n"
