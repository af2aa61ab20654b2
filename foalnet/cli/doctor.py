"""Verbs that look after the machine: what is wrong with it, and what its work cache holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from foalnet.core.errors import UsageError
from foalnet.core.redact import redact

UNFIT = 4


@click.command(short_help="is this machine fit? each fault with its remedy")
@click.argument("corpus", required=False)
@click.option("--remote", is_flag=True, help="Ask DVC's remotes too; without it nothing uses the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: `usable`, and the findings.")
@click.pass_context
def doctor(context: click.Context, corpus: str | None, remote: bool, as_json: bool) -> None:
    """Check packages, decoders, device, disk, DVC, Prefect, locks, and root and weights of CORPUS (of all, without it).

    Each line says ok, warning or fault; a failing one ends with the command that mends it. Exit 0 when nothing keeps a
    verb from working, 4 otherwise. Names no home folder, no password and no key, so its output can be shown to others.
    """
    from foalnet.checks.doctor import context_of, examine, usable

    findings = []
    for finding in examine(context_of(corpus, remote=remote)):
        findings.append(finding)
        if not as_json:
            click.echo(str(finding))
    if as_json:
        document = {"usable": usable(findings), "findings": [finding.as_json() for finding in findings]}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        warnings, faults = (sum(f.level == level for f in findings) for level in ("warning", "fault"))
        click.echo(f"{'usable' if usable(findings) else 'not usable'}: warnings {warnings}, faults {faults}")
    if not usable(findings):
        context.exit(UNFIT)


@click.command(short_help="mend what a killed DVC left half written")
def mend() -> None:
    """Mend DVC's lock file and dvc.lock where a DVC was killed while it wrote one.

    A cut lock file is removed where no process in it lives. A cut dvc.lock is replaced by the last whole one, which
    every verb keeps that DVC starts, else by git's; DVC then holds each record to the files that are there. Every
    other verb does the same at its start; `doctor` only names it.
    """
    from foalnet.artifact.dvcfiles import mend as mended

    for said in mended(Path()) or ["nothing to mend"]:
        click.echo(redact(said))


@click.command(short_help="make the work cache smaller")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only what was unused for so long.")
@click.option(
    "--max-gb", type=click.FloatRange(min=0), metavar="N", help="Only until the folder is no larger than that."
)
@click.option("--all", "everything", is_flag=True, help="Also what the current params' outputs are made from.")
@click.option("--cache", is_flag=True, help="Clean DVC's cache instead, and keep what champions and branches need.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --cache: another project that shares this cache; it may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go and remove nothing.")
def gc(
    older_than: float | None,
    max_gb: float | None,
    everything: bool,
    cache: bool,
    projects: tuple[Path, ...],
    dry_run: bool,
) -> None:
    """Remove from the work cache what the current params do not need, least recently used first.

    The cache (clips of dialogues, states of training) saves time only: what is removed is made again when it is
    needed. What a running stage uses is never touched; what dead processes left unfinished, and their locks, always
    goes.

    With --cache, DVC's own cache is cleaned instead: what is kept is what the working tree, every branch (those of runs
    too) and tag, every champion of every corpus and every unpushed run need. `dvc gc --workspace` would remove those.
    """
    if cache and (older_than is not None or max_gb is not None or everything):
        raise UsageError("--cache goes with --dry-run and --project alone", action="leave the other options out")
    if projects and not cache:
        raise UsageError("--project says who shares DVC's cache", action="add --cache")
    if cache:
        from foalnet.checks.cache import clean_lines

        for line in clean_lines(Path(), projects, write=not dry_run):
            click.echo(line)
        return
    from foalnet.gc import sweep_lines

    for line in sweep_lines(older_than_days=older_than, max_gb=max_gb, everything=everything, write=not dry_run):
        click.echo(line)
