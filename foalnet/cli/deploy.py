"""The verb `deploy`: it runs flows.deploy in a separate process, since the library does not import prefect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click


@click.command(short_help="deploy the flows to Prefect's server")
@click.option("--take-over", is_flag=True, help="Replace deployments that belong to another project's folder too.")
@click.pass_context
def deploy(context: click.Context, take_over: bool) -> None:
    """Create or update the deployments of prefect.yaml on the server that PREFECT_API_URL names, for this folder.

    A schedule stays on or paused as it is on the server until `active` changes in prefect.yaml. The verb also creates
    the work pool and the rule for silent runs. It refuses to replace another project's deployments.
    """
    from foalnet.config import load_settings

    home = (load_settings().home or Path()).resolve()
    command = [sys.executable, "-m", "flows.deploy", *(["--take-over"] if take_over else [])]
    context.exit(subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL).returncode)
