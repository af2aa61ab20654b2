"""Text for Markdown: the one escaping of the report, the cards, the gate's decision and what Prefect's UI shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_\[\]#~|])")


def escape(text: object) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no break out of a table's cell or of a line."""
    flat = " ".join(str(text).split())
    return SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code(text: object) -> str:
    """Return text as code, outside of tables; the fence is longer than any run of backticks in it."""
    flat = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", flat)), default=0))
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def row(cells: Iterable[str]) -> str:
    """Return a table's row; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, labels: int | None = None) -> list[str]:
    """Return a table's lines, every cell escaped; columns from the `labels`-th on are aligned to the right."""
    rule = ["---" if labels is None or i < labels else "--:" for i in range(len(head))]
    return [row(map(escape, head)), row(rule), *(row(map(escape, cells)) for cells in rows)]
