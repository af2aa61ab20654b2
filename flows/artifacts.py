"""What the UI shows of a finished run: the headline figures, what was dropped and why, where the report lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact

from foalnet.files import read_json
from foalnet.paths import Paths

MAX_ROWS = 60
"""A table in the UI is for a glance, and the server keeps every version of it; the report has the rest."""


def publish(paths: Paths) -> None:
    """Put the three artifacts of one corpus on the server, one key each, so that the UI keeps their history."""
    name = re.sub(r"[^a-z0-9]+", "-", paths.corpus.lower())
    for kind, text in (("metrics", metrics(paths)), ("drops", drops(paths)), ("report", report(paths))):
        create_markdown_artifact(text, key=f"{kind}-{name}", description=f"{kind} of corpus {paths.corpus}")


def metrics(paths: Paths) -> str:
    """Return the figures of metrics.json as a Markdown table."""
    rows = [(name, _figure(value)) for name, value in _leaves(read_json(paths.metrics, stage="report"))]
    return f"# {paths.corpus}: metrics\n\n{_table(('figure', 'value'), rows)}"


def drops(paths: Paths) -> str:
    """Return what manifest and staging counted, drops and repairs with their reasons, as Markdown tables."""
    parts = [f"# {paths.corpus}: kept, repaired, dropped"]
    for stage, path in (("manifest", paths.counts), ("shards", paths.staging)):
        rows = [(name, _figure(value)) for name, value in _leaves(read_json(path, stage=stage))]
        parts.append(f"## {stage}\n\n{_table(('what', 'count'), rows)}")
    return "\n\n".join(parts)


def report(paths: Paths) -> str:
    """Return where the report lies; a file on the worker's machine has no address that the UI could open."""
    return f"# {paths.corpus}: report\n\nOn the machine of the worker: `{paths.report_html.resolve()}`"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the figures of nested JSON with dotted names; lists are shown by their length."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key], f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield f"{name} (entries)", len(value)
    else:
        yield name, value


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table of at most MAX_ROWS rows; the last line says how many are left out."""
    lines = [head, tuple("---" for _ in head), *rows[:MAX_ROWS]]
    text = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
    left = len(rows) - MAX_ROWS
    return text + (f"\n\n{left} more rows: see the report." if left > 0 else "")
