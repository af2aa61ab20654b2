"""The folder that other people's files go to: it is empty, and git does not pick it up unseen."""

from __future__ import annotations

import shutil
from pathlib import Path

from foalnet.artifact.gitrepo import git, has_git
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.faults import why
from foalnet.core.files import make_folder


def need_empty(out: Path) -> None:
    """Create the folder; UsageError (exit 2) if it has files, MachineError (exit 4) if it cannot be used."""
    try:
        if out.exists() and not out.is_dir():
            raise UsageError("this is a file", file=out, action="name a new folder with --out")
        if out.is_dir() and any(out.iterdir()):
            raise UsageError("the folder is not empty", file=out, action="name a new folder with --out, or empty it")
    except OSError as error:
        raise MachineError(
            f"the folder cannot be used: {why(error, out)}", file=out, action="name another folder with --out"
        ) from error
    make_folder(out)


def warning_of(out: Path) -> str | None:
    """Return a warning if git would take the folder's files into a commit; None if not."""
    folder = out.resolve()
    top = next((each for each in folder.parents if has_git(each)), None)
    if top is None or shutil.which("git") is None:
        return None
    if git(top, "check-ignore", "--quiet", "--", str(folder), check=False).returncode == 0:
        return None
    return f"{out} is in the git repository {top.name}, which does not ignore it: do not commit these files"
