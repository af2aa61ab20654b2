"""The verb that stages a single dialogue: what a flow calls for each of them."""

from __future__ import annotations

import click

from foalnet.cli.main import cli
from foalnet.config import load_params, load_settings
from foalnet.paths import Paths


@cli.command(short_help="stage one dialogue into the work cache")
@click.argument("corpus")
@click.argument("dialogue", required=False)
def warm(corpus: str, dialogue: str | None) -> None:
    """Stage one DIALOGUE of CORPUS into the work cache, where `shards` finds it; list those to do, without one.

    The bytes are those that `shards` makes by itself: many of these at once, here or on other machines that share the
    work folder, only make it quicker.
    """
    from foalnet.clips import unstaged
    from foalnet.clips import warm as stage_one
    from foalnet.provenance import CodeGuard

    params, settings, paths = load_params(corpus), load_settings(), Paths(corpus)
    inputs = {"inventory": paths.inventory, "manifest": paths.manifest}
    if dialogue is None:
        for name in unstaged(params, settings, **inputs):
            click.echo(name)
        return
    guard = CodeGuard("shards")
    done = stage_one(params, settings, dialogue, **inputs)
    guard.check()
    click.echo(f"{dialogue}: {'staged' if done else 'was staged already'}")
