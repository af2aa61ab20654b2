"""Recognises errors of the machine rather than of the data: no space, no inode, no memory, too many open files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from foalnet.core.errors import FoalnetError, MachineError, UsageError, reason

FULL = (errno.ENOSPC, errno.EDQUOT)
# An error with one of these numbers is never the fault of the file that it names.
MACHINE = (*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
# Messages of a decoder that blame the machine. "Cannot allocate memory" is not one: a damaged file can cause it too.
REFUSALS = tuple(os.strerror(number) for number in (*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE))
# How the dynamic loader, the thread library and torch report a lack of memory.
NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread", "can't allocate memory")
AGAIN = "then run the same command again"


def fault_of(error: BaseException) -> FoalnetError | None:
    """Return the user's error for a fault of the machine or for a too long file name; None for any other error."""
    if isinstance(error, MemoryError) or (
        isinstance(error, ImportError | RuntimeError | OSError) and any(phrase in str(error) for phrase in NO_MEMORY)
    ):
        what = f"this machine's memory, or its limit for this process, does not suffice: {reason(error)}"
        return MachineError(what, action=f"free memory, or lower FOALNET_WORKERS, {AGAIN}")
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return UsageError("the name is longer than this disk takes", file=error.filename, action="correct the name")
    if error.errno in MACHINE:
        # An error of a full disk that names no file comes from a temporary file.
        file = error.filename or (tempfile.gettempdir() if error.errno in FULL else None)
        what = why(error, None if file is None else Path(os.fsdecode(file)))
        return MachineError(what, file=file, action=action_of(error))
    if "No usable temporary directory" in str(error):
        return MachineError(reason(error), action=f"free space there, or set TMPDIR to another folder, {AGAIN}")
    return None


def why(error: OSError, path: Path | None) -> str:
    """Return the system's message; for a full disk, followed by its free space."""
    message = reason(error)
    return f"{message}; {left(path)}" if error.errno in FULL and path is not None else message


def action_of(error: OSError) -> str:
    """Return the next action for a fault of the machine."""
    if error.errno in FULL:
        return f"free space there, or set TMPDIR to a folder on another disk, {AGAIN}"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"raise the limit of open files (`ulimit -n`) or lower FOALNET_WORKERS, {AGAIN}"
    return f"mend the disk or its mount, {AGAIN}"


def left(path: Path) -> str:
    """Return a sentence about the free space on the disk of `path`: its free bytes, or that no inode is free."""
    try:
        place = next(each for each in (path, *path.absolute().parents) if each.exists())
        facts, free = os.statvfs(place), shutil.disk_usage(place).free
    except OSError:
        return "the free space is unknown"
    if facts.f_files and not facts.f_favail:
        return f"no inode is free (the disk holds its {facts.f_files:,} files and folders), though {free:,} bytes are"
    return f"{free:,} bytes are free"


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has no free byte or no free inode."""
    facts = os.statvfs(folder)
    return not facts.f_bavail or bool(facts.f_files and not facts.f_favail)


def decoder_refusal(message: str, clip: Path, folder: Path | None = None) -> MachineError | None:
    """Return a MachineError if this machine caused a decoder's failure; None if the clip may be at fault.

    `folder`: the decoder's folder for temporary files. Its disk is checked, because a decoder's message does not
    always mention a full disk.
    """
    refusal = next((each for each in REFUSALS if each in message), "")
    if not refusal and folder is not None and is_full(folder):
        refusal = os.strerror(errno.ENOSPC)
    if not refusal:
        return None
    where = "" if folder is None else f"; in {folder} {left(folder)}"
    return MachineError(
        f"this machine refused the decoder: {refusal}{where}",
        file=clip,
        action=f"free space there, or set TMPDIR to a folder on another disk, {AGAIN}"
        if folder is not None
        else f"raise the limit of open files (`ulimit -n`) or lower FOALNET_WORKERS, {AGAIN}",
    )
