"""The report's two pictures for `dvc plots show`: SVG files of their own, drawn without a network."""

from __future__ import annotations

from collections.abc import Sequence

from foalnet.evidence.report import figures
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.page import TEMPLATES, engine

# Panels of the curves that stand in one row.
IN_A_ROW = 4


def scores_svg(facts: Facts, table: Sequence[Result]) -> bytes:
    """Draw UA of each variant with its interval, beside chance and the best possible."""
    return _svg(scores=figures.scores(table, 1 / len(facts.classes)).data, curves=None)


def curves_svg(facts: Facts) -> bytes:
    """Draw UA on the dev part by epoch, a panel for each variant, a line for each fold."""
    return _svg(scores=None, curves=figures.curves(facts, 1 / len(facts.classes)).data)


def _svg(**data: object) -> bytes:
    return (engine(TEMPLATES).get_template("plot.svg.jinja").render(**data, in_a_row=IN_A_ROW) + "\n").encode()
