"""The verbs `doctor`, `mend` and `gc`: check this machine, repair DVC's files, clean the caches."""

from __future__ import annotations

import json
from pathlib import Path

import click

from foalnet.core.errors import UsageError
from foalnet.core.redact import redact

UNFIT = 4


@click.command(short_help="check this machine; each fault comes with its remedy")
@click.argument("corpus", required=False)
@click.option("--remote", is_flag=True, help="Contact DVC's remotes too; without it nothing uses the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: `usable`, and the findings.")
@click.pass_context
def doctor(context: click.Context, corpus: str | None, remote: bool, as_json: bool) -> None:
    """Check packages, decoders, device, disk, DVC, Prefect, locks, and root and weights of CORPUS (default: all).

    Each line starts with ok, warning or fault; a failing one ends with the command that corrects it. Exit 0 if no fault
    keeps a verb from working, else 4. The output names no home folder, password or key, so it can be shared.
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


@click.command(short_help="repair files that a killed DVC left half written")
def mend() -> None:
    """Repair DVC's lock file and dvc.lock where DVC was killed while it wrote one.

    A truncated lock file is removed if no process in it is alive. A truncated dvc.lock is replaced by the last whole
    copy, which every verb started by DVC saves, or by git's; DVC then compares each record with the existing files.
    Every other verb does the same when it starts; `doctor` only reports it.
    """
    from foalnet.artifact.dvcfiles import mend as mended

    for said in mended(Path()) or ["nothing to repair"]:
        click.echo(redact(said))


@click.command(short_help="clean the work cache or DVC's cache")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only entries unused for so long.")
@click.option("--max-gb", type=click.FloatRange(min=0), metavar="N", help="Stop once the folder is this small.")
@click.option("--all", "everything", is_flag=True, help="Also entries that the current params' outputs are made from.")
@click.option("--cache", is_flag=True, help="Clean DVC's cache instead; keep what champions and branches need.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --cache: another project that shares this cache; repeat it for several.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
def gc(
    older_than: float | None,
    max_gb: float | None,
    everything: bool,
    cache: bool,
    projects: tuple[Path, ...],
    dry_run: bool,
) -> None:
    """Remove what the current params do not need from the work cache, least recently used first.

    The work cache (clips of dialogues, training checkpoints) only saves time: removed entries are rebuilt when needed.
    Entries in use by a running stage stay; unfinished files and locks of dead processes are always removed.

    With --cache, DVC's own cache is cleaned instead. It keeps what the working tree, every branch (also of runs), every
    tag, every champion and every unpushed run need; `dvc gc --workspace` would remove that.
    """
    if cache and (older_than is not None or max_gb is not None or everything):
        raise UsageError("--cache goes with --dry-run and --project alone", action="leave the other options out")
    if projects and not cache:
        raise UsageError("--project names a project that shares DVC's cache", action="add --cache")
    if cache:
        from foalnet.checks.cache import clean_lines

        for line in clean_lines(Path(), projects, write=not dry_run):
            click.echo(line)
        return
    from foalnet.checks.work import sweep_lines

    for line in sweep_lines(older_than_days=older_than, max_gb=max_gb, everything=everything, write=not dry_run):
        click.echo(line)
