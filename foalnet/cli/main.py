"""The door: verbs in the order of the road, one place that turns errors into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from foalnet.cli.output import watched
from foalnet.discreet import discreet
from foalnet.errors import FoalnetError, Interrupted, named
from foalnet.faults import fault_of
from foalnet.kin import die_with_parent
from foalnet.processor import hold_instructions

BUG = 70
# DVC sets it for the command of a stage.
STARTED_BY_DVC = "DVC_STAGE"

EPILOG = """Exit codes: 0 ok, 2 usage or params, 3 data contract, 4 environment (a retry may help),
5 interrupted (the same command resumes), 70 bug.
What changes a result is in params.yaml; what a machine has is in settings.yaml and FOALNET_… variables."""


class Ordered(click.Group):
    """Lists its verbs in the order in which a corpus meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the verbs in registration order."""
        return list(self.commands)


@click.group(
    cls=Ordered, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="foalnet")
@click.pass_context
def cli(context: click.Context) -> None:
    """From an emotion corpus as it was downloaded to a report that can be believed.

    `dvc repro` runs the verbs below in the right order and only where something changed; run one by hand to look at
    a single step. Start with `make run`, then `foalnet add-corpus --help`.
    """
    from foalnet.dvcfiles import mend

    # The doctor shows what it finds before anything is changed.
    if context.invoked_subcommand not in ("doctor", "mend"):
        for said in mend(Path(), keep=STARTED_BY_DVC in os.environ):
            click.echo(f"foalnet: {discreet(said)}", err=True)


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(f"signal {signum}")


def register() -> None:
    """Import the files of verbs, in the order in which `--help` lists them."""
    from foalnet.cli import setup, weights, stages, features, tune  # isort: skip  # noqa: F401
    from foalnet.cli import sheet, predict, checkpoint, warm, champion, deploy  # isort: skip  # noqa: F401
    from foalnet.cli import verify, doctor  # isort: skip  # noqa: F401


def main() -> NoReturn:
    """Run the command line and exit with the code that EPILOG lists; no traceback unless FOALNET_DEBUG is set."""
    parent = os.getppid()
    hold_instructions()
    signal.signal(signal.SIGTERM, _stop)
    if STARTED_BY_DVC in os.environ:
        # A killed DVC can end nothing, and the next run would meet the verb of the last one.
        die_with_parent(parent, by=signal.SIGTERM)
    sys.stdout, sys.stderr = watched(sys.stdout), watched(sys.stderr)
    try:
        register()
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        _fail(Interrupted("stopped by the keyboard", action="run the same command again: it goes on where it stopped"))
    except KeyboardInterrupt:
        _fail(Interrupted("stopped by a signal", action="run the same command again: it goes on where it stopped"))
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
            f"foalnet: internal error: {discreet(named(error))}\n"
            f"  at: {os.path.basename(where.filename)}:{where.lineno} in {where.name}\n"  # noqa: PTH119
            "  next: this is a bug; set FOALNET_DEBUG=1 for the traceback and report it",
            err=True,
        )
        sys.exit(BUG)


def _fail(error: FoalnetError) -> NoReturn:
    if os.environ.get("FOALNET_DEBUG"):
        traceback.print_exception(error)
    click.echo(f"foalnet: {discreet(str(error))}", err=True)
    sys.exit(error.exit_code)
