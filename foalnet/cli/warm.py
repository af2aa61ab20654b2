"""The verb `warm`: stages named dialogues into the work cache; the flow `stage_corpus` calls it for each batch."""

from __future__ import annotations

import click

from foalnet.config import load_params, load_settings
from foalnet.core.paths import Paths


@click.command(short_help="stage dialogues into the work cache")
@click.argument("corpus")
@click.argument("dialogues", metavar="[DIALOGUE]...", nargs=-1)
def warm(corpus: str, dialogues: tuple[str, ...]) -> None:
    """Stage each DIALOGUE of CORPUS into the work cache, from which `shards` packs it.

    Without a DIALOGUE, list those that are not staged, the longest first, with their seconds of speech.

    The result has the same bytes as `shards` alone makes; several of these commands at once, on this or other machines
    that share the work folder, are only faster. Every dialogue is tried before a failure ends the command.
    """
    from foalnet.artifact.provenance import CodeGuard
    from foalnet.stages.base import errors_of
    from foalnet.stages.shards.warm import unstaged
    from foalnet.stages.shards.warm import warm as stage_all

    params, settings, paths = load_params(corpus), load_settings(), Paths(corpus)
    inputs = {"inventory": paths.inventory, "manifest": paths.manifest}
    if not dialogues:
        for name, seconds in unstaged(params, settings, **inputs).items():
            click.echo(f"{name}\t{seconds:.1f}")
        return
    guard = CodeGuard()
    with errors_of("shards"):
        stage_all(params, settings, dialogues, **inputs, say=lambda name, what: click.echo(f"{name}: {what}"))
    guard.check()
