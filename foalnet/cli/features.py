"""The verb of the stage between shards and training: pictures through a frozen encoder, once."""

from __future__ import annotations

import click

from foalnet.cli.main import cli
from foalnet.cli.stages import CORPUS, _stage


@cli.command(short_help="pictures through a frozen encoder, once")
@CORPUS
def features(corpus: str) -> None:
    """Encode the shards' pictures with the frozen encoder of `features.encoder`; interrupted, it resumes.

    Without an encoder in params it says so and ends at once.
    """
    from foalnet.features.stage import encode

    with _stage("features", corpus) as (params, settings, paths):
        summary = encode(params, settings, paths.shards, paths.features)
    click.echo(f"features: {summary}")
