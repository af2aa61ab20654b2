"""The verbs of the champion: which model is in force, and one command back."""

from __future__ import annotations

from pathlib import Path

import click

from foalnet.cli.main import cli


def _home() -> Path:
    from foalnet.config import load_settings

    return (load_settings().home or Path()).resolve()


@cli.command(short_help="show which run is in force, and those before it")
def champion() -> None:
    """List what the flow `retrain` promoted, the newest first, with every rollback; `*` is in force.

    Runs whose outputs could not be pushed to DVC's remote are marked unpushed.
    """
    from foalnet.champion import history, unpushed

    champions, waiting = history(_home()), unpushed(_home())
    if not champions:
        click.echo("no champion yet: the first run of the flow `retrain` becomes it")
    for each in champions:
        mark = "*" if each.commit == champions[0].effective else " "
        what = f"rollback to {each.rollback_to[:10]} ({each.run})" if each.rollback_to else each.run
        here = "  unpushed" if each.commit in waiting.values() else ""
        click.echo(f"{mark} {each.commit[:10]}  {each.date}  {what}{here}")
    if waiting:
        click.echo(f"unpushed: {', '.join(name.partition('/')[2] for name in waiting)}; the next run tries again")


@cli.command(short_help="put the previous champion in force again")
@click.option("--to", help="Commit of the champion to return to [default: the one before the champion in force].")
def rollback(to: str | None) -> None:
    """Put the champion before the one in force back in force: a new commit on the branch `champion`.

    Nothing is rewritten and no file of this checkout changes. What was taken back is not promoted again by itself.
    """
    from foalnet.champion import rollback as go_back

    before, now, commit = go_back(_home(), to)
    click.echo(f"champion was {before.effective[:10]} ({before.run})")
    click.echo(f"champion is  {now.commit[:10]} ({now.run}), recorded as commit {commit[:10]}")
    click.echo("to have its models and report here: git switch --detach champion && dvc checkout")
