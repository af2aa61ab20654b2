"""The verb `sheet`: writes pages that show the staged faces."""

from __future__ import annotations

import click

from foalnet.cli.stages import CORPUS
from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths


@click.command(short_help="write pages of the staged faces, for this machine only")
@CORPUS
@click.option("--dialogue", help="Only this dialogue [default: all, with an index page].")
def sheet(corpus: str, dialogue: str | None) -> None:
    """Write offline pages of the staged faces: per utterance the crops along time, the mask, and who sits where.

    They are made from the shards and staging.json. They show people, so they stay in the git-ignored work folder, and
    no report links to them.
    """
    from foalnet.sheet import write_sheets

    load_params(corpus)
    click.echo(f"sheet: {write_sheets(Paths(corpus), load_settings(), dialogue)}")
