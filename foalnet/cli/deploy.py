"""The verb that brings the flows to Prefect's server; the flows themselves do it, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click


@click.command(short_help="bring the flows to Prefect's server")
@click.option("--take-over", is_flag=True, help="Also deployments that another project's folder has on that server.")
@click.pass_context
def deploy(context: click.Context, take_over: bool) -> None:
    """Make or renew the deployments of prefect.yaml on the server that PREFECT_API_URL names, for this folder.

    A schedule stays on or paused as it is on the server until prefect.yaml says otherwise than before. Makes the work
    pool and the rule for silent runs too. Refuses to take the place of another project's deployments.
    """
    from foalnet.config import load_settings

    home = (load_settings().home or Path()).resolve()
    command = [sys.executable, "-m", "flows.deploy", *(["--take-over"] if take_over else [])]
    context.exit(subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL).returncode)
