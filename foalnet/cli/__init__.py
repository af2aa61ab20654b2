"""The command line: each verb parses, calls one function and maps errors to exit codes."""

from foalnet.cli.main import cli, main

__all__ = ["cli", "main"]
