"""Builds the report page, its Markdown twin and the aggregate metrics from JSON; deterministic bytes, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import read_sealed, sealed_bytes
from foalnet.config import Params
from foalnet.core.errors import UsageError
from foalnet.core.files import Content, json_bytes, publish_together
from foalnet.core.paths import Paths
from foalnet.evidence.report.terminal import table_text

__all__ = ["build", "cell_as", "headline", "tables_as"]


def build(params: Params, paths: Paths, *, git: Path | None = None) -> dict[str, Any]:
    """Write report.html, report.md, two plots, headline.json and metrics.json of one corpus; return the metrics.

    `git`: the checkout that has the commit of `report.previous`, by default the folder of `paths`. DataError (exit 3)
    where no run is evaluated or the runs do not belong together. An absent optional file is a sentence on the page.
    """
    from foalnet.evidence.report.aggregate import few
    from foalnet.evidence.report.page import html, markdown
    from foalnet.evidence.report.plots import curves_svg, scores_svg
    from foalnet.evidence.report.previous import earlier
    from foalnet.evidence.report.results import read
    from foalnet.evidence.report.shown import shown

    results = read(params, paths)
    metrics, table, facts = shown(results, earlier(params, paths.home if git is None else git))
    files: dict[Path, Content] = {paths.report_html: html(facts).encode(), paths.report_md: markdown(facts).encode()}
    files |= {paths.scores_svg: scores_svg(results, table), paths.curves_svg: curves_svg(results)}
    files[paths.headline] = json_bytes(few(metrics))
    files[paths.metrics] = sealed_bytes(paths.metrics.name, metrics)
    publish_together(files, marker=paths.metrics)
    return metrics


def tables_as(paths: Paths, form: str) -> str:
    """Return every table of a built report as `csv` or `latex`."""
    from foalnet.evidence.report.export import FORMATS

    with _of_this_version(paths) as metrics:
        return FORMATS[form](metrics)


def cell_as(params: Params, paths: Paths, form: str, *, true: str, predicted: str, variant: str | None = None) -> str:
    """Return the utterances in a cell of a variant's confusion matrix as `csv` or `text`, the surest first.

    `variant`: without one that of the report's headline. UsageError (exit 2) for a class or variant that the runs do
    not have, DataError (exit 3) as `build`.
    """
    from foalnet.evidence.report.cells import cell, cell_csv, headline_variant, rows
    from foalnet.evidence.report.results import read
    from foalnet.evidence.report.terminal import aligned

    results = read(params, paths)
    one = cell(results, variant or headline_variant(list(results.runs)), true, predicted)
    return cell_csv(one) if form == "csv" else "\n".join([*aligned(list(rows(one))), ""])


@contextmanager
def _of_this_version(paths: Paths) -> Iterator[dict[str, Any]]:
    """Yield the metrics of a built report; UsageError (exit 2) where an older version wrote them."""
    try:
        yield read_sealed(paths.metrics, again=f"report@{paths.corpus}")
    except KeyError as error:
        raise UsageError(
            f"an older version wrote these figures: {error} is not among them",
            file=paths.metrics,
            action=f"run `dvc repro report@{paths.corpus}`",
        ) from error


def headline(paths: Paths) -> str:
    """Return the headline table of a built report for a terminal, and the report's path."""
    with _of_this_version(paths) as metrics:
        return f"{table_text(metrics)}\n\nreport: {paths.report_html.as_posix()}"
