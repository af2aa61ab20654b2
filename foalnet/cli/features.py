"""The verb `features`: encodes the shards' pictures with a frozen encoder, once."""

from __future__ import annotations

import click

from foalnet.cli.stages import CORPUS, DRY_RUN, _stage, with_folders
from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths


@click.command(short_help="encode pictures with a frozen encoder, once")
@CORPUS
@DRY_RUN
def features(corpus: str, dry_run: bool) -> None:
    """Encode the shards' pictures with the frozen encoder `features.encoder`; the same command resumes.

    If params name no encoder, it prints that and ends at once.
    """
    from foalnet.stages.features import encode

    if dry_run:
        from foalnet.stages.forecast import features_forecast

        click.echo(features_forecast(load_params(corpus), load_settings(), Paths(corpus)))
        return
    with _stage("features", corpus, lambda paths: with_folders(paths.features)) as (params, settings, paths):
        summary = encode(params, settings, paths.shards, paths.features)
    click.echo(f"features: {summary}")
