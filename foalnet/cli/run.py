"""The verb `run`: the stages of a first run in one process, recorded by DVC; a later run is left to DVC."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from foalnet.artifact.dvcrepo import Planned, planned
from foalnet.artifact.provenance import CodeGuard
from foalnet.core.errors import FoalnetError, MachineError
from foalnet.core.files import sha256_file

# DVC records their params and commands.
RECORDED = ("params.yaml", "dvc.yaml")


@click.command(short_help="run all stages and record them; a first run takes half the time of `dvc repro`")
@click.argument("corpora", nargs=-1)
@click.pass_context
def run(context: click.Context, corpora: tuple[str, ...]) -> None:
    """Run the stages of CORPORA (default: all of params.yaml), with the result of `dvc repro`.

    Where none of these stages has an output here, they run in this process, which saves a start of Python for each, and
    `dvc commit` records them at the end. Else `dvc repro` runs what changed. The same command resumes after an
    interruption.
    """
    stages = planned(Path(), corpora)
    if any(stage.made for stage in stages):
        sys.exit(_dvc("repro", *(stage.name for stage in stages if corpora)))
    done: list[Planned] = []
    with _recorded(done):
        for number, stage in enumerate(stages, 1):
            click.echo(f"{number} of {len(stages)}: {stage.command}", err=True)
            _run(context, stage.command)
            done.append(stage)


@contextmanager
def _recorded(done: list[Planned]) -> Iterator[None]:
    """Have DVC record the finished stages, also after an error; not if code or params changed meanwhile."""
    guard, before = CodeGuard(), _digests()
    try:
        yield
    except (FoalnetError, KeyboardInterrupt, click.Abort):
        # What ends the run is said, not what else went wrong: `dvc repro` runs a stage again that is not recorded.
        if done and _digests() == before:
            _dvc("commit", "--force", "--quiet", *(stage.name for stage in done))
        raise
    guard.check()
    if _digests() != before:
        raise MachineError(
            f"{' or '.join(RECORDED)} changed while the stages ran, which DVC would record as what made the outputs",
            action="run the same command again: `dvc repro` then runs what has to run",
        )
    click.echo("recording the stages: dvc commit", err=True)
    if code := _dvc("commit", "--force", "--quiet", *(stage.name for stage in done)):
        raise MachineError(f"`dvc commit` ended with {code}", action="see the lines above, then run `dvc repro`")


def _digests() -> list[str]:
    return [sha256_file(Path(name)) for name in RECORDED]


def _dvc(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]).returncode


def _run(context: click.Context, command: str) -> None:
    """Run a stage's command, `foalnet VERB …`, in this process; the verb's own errors pass."""
    _, verb, *arguments = shlex.split(command)
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    one = root.command.get_command(root, verb)
    assert one is not None, f"dvc.yaml names the verb {verb}"
    try:
        with one.make_context(verb, arguments, parent=root) as own:
            one.invoke(own)
    except SystemExit as end:
        # A training in several processes ends with their exit code.
        if end.code:
            raise
