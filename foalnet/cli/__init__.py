"""The command line: each verb parses its arguments and calls one function; errors become exit codes."""

from foalnet.cli.main import cli, main

__all__ = ["cli", "main"]
