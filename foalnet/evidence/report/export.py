"""Writes the tables of a report for papers and programs: LaTeX (booktabs), and CSV with a row for each figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from foalnet.evidence.report import tables
from foalnet.evidence.report.tables import Column, Name, Score, Table

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
        "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\N{MINUS SIGN}": "$-$", "<": "$<$",
        ">": "$>$", "\N{EN DASH}": "--",
    }
)  # fmt: skip
HEAD = ("table", "row", "column", "value", "low", "high")


def every_table(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables of metrics.json by title, in the order of the page."""
    level, variants = metrics["level"], metrics["variants"]
    every = {"scores": tables.scores(metrics)}
    if metrics["differences"]:
        every["differences of UA"] = tables.differences(metrics["differences"], level)
    for name, row in metrics.get("late_average", {}).items():
        every[f"differences from {name}"] = tables.differences(row["differences"], level)
        if "kinds" in row:
            every[f"correct by kind, {name}"] = tables.kinds(row, name, level)
    if "protocols" in metrics:
        every["UA by protocol"] = tables.protocols(metrics, "ua")
        every["differences of UA between protocols"] = tables.effects(metrics)
    every["recall by class"] = tables.recalls(metrics)
    for name in tables.in_order(variants):
        every[f"confusion of {name}"] = _confusion(metrics["class_names"], variants[name], level)
    return every


def _confusion(classes: Sequence[str], row: Mapping[str, Any], level: float) -> Table:
    return Table(
        columns=(Column(title="true", kind="name"), *(Column(title=name, kind="count") for name in classes)),
        rows=tuple((Name(text=name), *counts) for name, counts in zip(classes, row["confusion"], strict=True)),
        level=level,
    )


def latex(metrics: Mapping[str, Any]) -> str:
    """Return every table as a `tabular` of the package booktabs, each below a comment with its title."""
    return "\n".join(line for title, table in every_table(metrics).items() for line in _tabular(title, table))


def _tabular(title: str, table: Table) -> Iterator[str]:
    head, *rows = tables.wide(table)
    # `wide` gives the interval of a score a column of its own.
    left = [kind for column in table.columns for kind in (column.kind, *(["points"] if column.bounds else []))]
    yield f"% {title}"
    yield rf"\begin{{tabular}}{{{''.join('l' if kind == 'name' else 'r' for kind in left)}}}"
    yield r"\toprule"
    yield _line(head)
    yield r"\midrule"
    yield from (_line(row) for row in rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield ""


def _line(cells: list[str]) -> str:
    return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"


def csv_text(metrics: Mapping[str, Any]) -> str:
    """Return every figure in a row of its own, as stored: table, row, column, value, low, high."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    for title, table in every_table(metrics).items():
        for name, *values in table.rows:
            for column, value in zip(table.columns[1:], values, strict=True):
                if value is not None:
                    writer.writerow([title, _plain(name), column.title, *_figures(value)])
    return file.getvalue()


def _plain(value: tables.Value) -> str:
    return value.text if isinstance(value, Name) else str(value)


def _figures(value: tables.Value) -> list[object]:
    if isinstance(value, Score):
        return [value.estimate, "" if value.low is None else value.low, "" if value.high is None else value.high]
    return [_plain(value), "", ""]


FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"csv": csv_text, "latex": latex}
