"""The verbs around pretrained encoders: what is here, and the one that may use the network."""

from __future__ import annotations

import click

from foalnet.cli.main import cli
from foalnet.config import load_settings
from foalnet.discreet import discreet
from foalnet.errors import MachineError


@cli.group("weights", invoke_without_command=True, short_help="pretrained encoders: list, fetch, record")
@click.pass_context
def weights(context: click.Context) -> None:
    """List the pretrained encoders: which are ready on this machine, and what makes the others so.

    Only `foalnet weights fetch` uses the network; every stage runs offline on what it left.
    """
    if context.invoked_subcommand is not None:
        return
    from foalnet.weights import CATALOGUE, open_weights, weights_folder

    settings = load_settings()
    click.echo(discreet(f"folder: {weights_folder(settings)}"))
    for name, entry in CATALOGUE.items():
        origin = f"{name}: {entry.repository} at revision {entry.revision}"
        try:
            ready = open_weights(name, settings)
            click.echo(f"{origin}: ready, sha256 {ready.sha256}")
        except MachineError as error:
            click.echo(discreet(f"{error.what}\n  next: {error.action}"))


@weights.command("fetch", short_help="fetch what is missing, check, record")
@click.argument("name")
def fetch(name: str) -> None:
    """Fetch what is missing of NAME at its pinned revision, check every digest, convert a pickle once, record.

    Files that lie in the folder already (the hub's own layout) are checked and recorded without the network.
    """
    from foalnet.weights.fetch import fetch_weights

    for line in fetch_weights(name, load_settings()):
        click.echo(line)


@weights.command("record", short_help="record weights of your own")
@click.argument("name")
def record(name: str) -> None:
    """Record your own weights of NAME's architecture, as they lie in its folder; params then name their digest."""
    from foalnet.weights.fetch import record_weights

    for line in record_weights(name, load_settings()):
        click.echo(line)
