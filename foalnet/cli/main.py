"""The entry point: lists the verbs in order of use, and turns errors into messages and exit codes in one place."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from foalnet.cli.output import watched
from foalnet.core.errors import FoalnetError, Interrupted, named
from foalnet.core.faults import fault_of
from foalnet.core.processes import die_with_parent
from foalnet.core.processor import hold_instructions
from foalnet.core.redact import redact

BUG = 70
# DVC sets this variable for the command of a stage.
STARTED_BY_DVC = "DVC_STAGE"

EPILOG = """Exit codes: 0 ok, 2 usage or params, 3 data contract, 4 environment (a retry may help),
5 interrupted (run the same command again), 70 bug.
params.yaml holds everything that can change a result; settings.yaml and FOALNET_… variables hold the rest."""


# Verb -> module of this package and the command in it. `--help` lists them in this order: first the stages of a corpus,
# then verbs that operate models, flows and the machine.
VERBS = {
    "add-corpus": "setup.add_corpus",
    "config": "setup.config",
    "run": "run.run",
    "weights": "weights.weights",
    "draw": "stages.draw",
    "inventory": "stages.inventory",
    "manifest": "stages.manifest",
    "splits": "splits.splits",
    "shards": "stages.shards",
    "features": "stages.features",
    "sheet": "sheet.sheet",
    "export": "export.export",
    "train": "stages.train",
    "evaluate": "stages.evaluate",
    "final": "stages.final",
    "report": "stages.report",
    "show": "stages.show",
    "study": "study.study",
    "probe": "probe.probe",
    "audit": "audit.audit",
    "verify": "verify.verify",
    "lock": "lock.lock",
    "predict": "predict.predict",
    "serve": "serve.serve",
    "extract": "extract.extract",
    "import-checkpoint": "checkpoint.import_checkpoint",
    "tune": "tune.tune",
    "champion": "champion.champion",
    "rollback": "champion.rollback",
    "deploy": "deploy.deploy",
    "warm": "warm.warm",
    "doctor": "doctor.doctor",
    "mend": "doctor.mend",
    "gc": "doctor.gc",
}


class Verbs(click.Group):
    """The commands of VERBS; a verb's module is imported only to run the verb or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the verbs in the order of VERBS."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's command; None for an unknown verb."""
        if cmd_name in VERBS and cmd_name not in self.commands:
            module, _, name = VERBS[cmd_name].partition(".")
            self.add_command(getattr(importlib.import_module(f"foalnet.cli.{module}"), name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb of a command line; the error on a mistyped verb suggests similar ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=VERBS, ctx=ctx) from error


@click.group(
    cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="foalnet")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn an emotion corpus, as it was downloaded, into a report on emotion recognition with verifiable figures.

    `foalnet run` and `dvc repro` run the verbs of the stages in order, and only where something changed; run one by
    hand to look at a single step. Start with `make run`, then `foalnet add-corpus --help`.
    """
    from foalnet.artifact.dvcfiles import mend

    # The doctor reports the state before any verb changes it.
    if context.invoked_subcommand not in ("doctor", "mend"):
        for said in mend(Path(), keep=STARTED_BY_DVC in os.environ):
            click.echo(f"foalnet: {redact(said)}", err=True)


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _stopper(error: BaseException) -> str:
    """Return what stopped a verb: a signal's name, or "the keyboard". click wraps the interrupt in an Abort."""
    interrupt = error.__cause__ if isinstance(error, click.exceptions.Abort) else error
    return str(interrupt) if interrupt is not None and interrupt.args else "the keyboard"


def main() -> NoReturn:
    """Run the command line and exit with a code of EPILOG; a traceback is shown only if FOALNET_DEBUG is set."""
    parent = os.getppid()
    hold_instructions()
    signal.signal(signal.SIGTERM, _stop)
    if STARTED_BY_DVC in os.environ:
        # A killed DVC cannot end its verb, which would then disturb the next run.
        die_with_parent(parent, by=signal.SIGTERM)
    sys.stdout, sys.stderr = watched(sys.stdout), watched(sys.stderr)
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        _fail(Interrupted(f"stopped by {_stopper(error)}", action="run the same command again"))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except FoalnetError as error:
        _fail(error)
    except Exception as error:
        if fault := fault_of(error):
            _fail(fault)
        if os.environ.get("FOALNET_DEBUG"):
            traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        click.echo(
            f"foalnet: internal error: {redact(named(error))}\n"
            f"  at: {os.path.basename(where.filename)}:{where.lineno} in {where.name}\n"  # noqa: PTH119
            "  next: this is a bug; set FOALNET_DEBUG=1 for the traceback and report it",
            err=True,
        )
        sys.exit(BUG)


def _fail(error: FoalnetError) -> NoReturn:
    if os.environ.get("FOALNET_DEBUG"):
        traceback.print_exception(error)
    click.echo(f"foalnet: {redact(str(error))}", err=True)
    sys.exit(error.exit_code)
