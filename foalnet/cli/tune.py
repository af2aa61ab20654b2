"""The verb `tune`: searches training params; it is run by hand and is no stage of dvc.yaml."""

from __future__ import annotations

import click

from foalnet.cli.stages import CORPUS, DRY_RUN
from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths


@click.command(short_help="search training params on dev sessions, alike for every variant")
@CORPUS
@DRY_RUN
def tune(corpus: str, dry_run: bool) -> None:
    """Train and score the trials of the params block `tune`, with the same space, budget and seed for every variant.

    The score is the mean UA over the folds' dev sessions; no test session is scored. Trials and summary go to
    reports/CORPUS/tune/; params.yaml stays as it is (docs/method.md). The same command resumes an interrupted search.
    """
    params, settings, paths = load_params(corpus), load_settings(), Paths(corpus)
    if dry_run:
        from foalnet.tune import tune_forecast

        click.echo(tune_forecast(params, settings, paths))
        return
    from foalnet.stages.base import one_writer
    from foalnet.tune import tune as search

    with one_writer("tune", corpus, settings, lambda: [paths.tune]):
        says = search(params, settings, paths, log=click.echo)
    click.echo(f"\n{says}")
