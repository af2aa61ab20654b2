"""The verb that shows a person what staging cut out."""

from __future__ import annotations

import click

from foalnet.cli.stages import CORPUS
from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths


@click.command(short_help="pages of the staged faces, to be looked at here")
@CORPUS
@click.option("--dialogue", help="This one only; without it every dialogue, and a list of them.")
def sheet(corpus: str, dialogue: str | None) -> None:
    """Write offline pages of the staged faces: per utterance the crops along time, the mask, and who sits where.

    They are made from the shards and the account of staging, show people, and lie in the git-ignored work folder: no
    report links to them.
    """
    from foalnet.sheet import write_sheets

    load_params(corpus)
    click.echo(f"sheet: {write_sheets(Paths(corpus), load_settings(), dialogue)}")
