"""Escapes text and builds tables for Markdown: report, model cards, gate decision, Prefect artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_\[\]#~|])")


def escape(text: object) -> str:
    """Return text that Markdown shows literally: without markup, HTML or line breaks, safe in a table's cell."""
    flat = " ".join(str(text).split())
    return SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code(text: object) -> str:
    """Return text as inline code, for use outside tables; the fence is longer than any run of backticks in it."""
    flat = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", flat)), default=0))
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def row(cells: Iterable[str]) -> str:
    """Return one row of a table; `cells` are already Markdown."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, labels: int | None = None) -> list[str]:
    """Return the lines of a table with every cell escaped; columns from number `labels` on are right-aligned.

    >>> print(*table(["name", "count"], [["<sad>", 3]], labels=1), sep="; ")
    | name | count |; | --- | --: |; | &lt;sad&gt; | 3 |
    """
    rule = ["---" if labels is None or i < labels else "--:" for i in range(len(head))]
    return [row(map(escape, head)), row(rule), *(row(map(escape, cells)) for cells in rows)]
