"""The verbs `champion` and `rollback`: which model is in force for each corpus, and the way back to an earlier one."""

from __future__ import annotations

from pathlib import Path

import click


def _home() -> Path:
    """Return the project's folder, after adopting champions of an older version or of a clone's remote."""
    from foalnet.config import load_settings
    from foalnet.evidence.champion import adopt

    home = (load_settings().home or Path()).resolve()
    for line in adopt(home):
        click.echo(line)
    return home


@click.command(short_help="list each corpus' champions; mark the one in force")
@click.argument("corpus", required=False)
def champion(corpus: str | None) -> None:
    """List the runs that the flow `retrain` promoted for CORPUS (default: all), newest first; `*` is in force.

    Runs with outputs that are not on DVC's remote are marked unpushed. Outputs of the champion in force that neither
    DVC's cache nor its remote has are listed as lost.
    """
    from foalnet.checks.cache import loss_of, remedy
    from foalnet.evidence.champion import corpora_of, history, unpushed

    home = _home()
    named = [corpus] if corpus else corpora_of(home)
    waiting = {name: commit for name, commit in unpushed(home).items() if corpus in (None, name.partition("/")[0])}
    for each in named:
        champions = history(home, each)
        click.echo(f"{each}:" if champions else f"{each}: no champion yet")
        for one in champions:
            mark = "*" if one.commit == champions[0].effective else " "
            what = f"rollback to {one.rollback_to[:10]} ({one.run})" if one.rollback_to else one.run
            here = "  unpushed" if one.commit in waiting.values() else ""
            click.echo(f"{mark} {one.commit[:10]}  {one.date}  {what}{here}")
        loss = str(loss_of(home, each, champions[0].effective)) if champions else ""
        if loss:
            click.echo(f"  of the champion in force, {loss}")
            click.echo(f"  next: {remedy(each, champions[0].effective)}")
    if not named:
        click.echo("no champion yet: the first run of the flow `retrain` becomes it")
    if waiting:
        click.echo(f"unpushed: {', '.join(name.partition('/')[2] for name in waiting)}; the next run tries again")


@click.command(short_help="return to an earlier champion of a corpus")
@click.argument("corpus")
@click.option("--to", help="Commit of the champion to return to [default: the one before the champion in force].")
def rollback(corpus: str, to: str | None) -> None:
    """Put the previous champion of CORPUS back in force, by a new commit on the branch `champions/CORPUS`.

    No commit is rewritten, no other corpus and no file of this checkout changes. The flow does not promote the same
    results again by itself. A champion with lost outputs is refused (exit 3) until they are rebuilt.
    """
    from foalnet.checks.cache import refuse_lost
    from foalnet.evidence.champion import branch_of, rollback_target
    from foalnet.evidence.champion import rollback as go_back

    home = _home()
    now, target = rollback_target(home, corpus, to)
    if target.commit == now.effective:
        click.echo(f"champion of {corpus} is  {target.commit[:10]} ({target.run}) already: nothing to do")
        return
    refuse_lost(home, corpus, target.commit)
    before, now, commit = go_back(home, corpus, to)
    click.echo(f"champion of {corpus} was {before.effective[:10]} ({before.run})")
    click.echo(f"champion of {corpus} is  {now.commit[:10]} ({now.run}), recorded as commit {commit[:10]}")
    click.echo(f"to have its models and report here: git switch --detach {branch_of(corpus)} && dvc checkout")
