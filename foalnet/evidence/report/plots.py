"""Renders the two SVG files for `dvc plots show`: scores and training curves."""

from __future__ import annotations

from collections.abc import Sequence

from foalnet.evidence.report import figures
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.page import TEMPLATES, engine
from foalnet.evidence.report.results import Results

# Panels of the curves in one row.
IN_A_ROW = 4


def scores_svg(results: Results, table: Sequence[Result]) -> bytes:
    """Return an SVG of each variant's UA with its interval, chance level and best possible score."""
    return _svg(scores=figures.scores(table, results.guess).data, curves=None)


def curves_svg(results: Results) -> bytes:
    """Return an SVG of UA on the dev part by epoch, a panel per variant, a line per fold."""
    return _svg(scores=None, curves=figures.curves(results).data)


def _svg(**data: object) -> bytes:
    return (engine(TEMPLATES).get_template("plot.svg.jinja").render(**data, in_a_row=IN_A_ROW) + "\n").encode()
