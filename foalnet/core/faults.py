"""What is the machine's fault and not the data's: no space, no inode, no memory, too many open files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from foalnet.core.errors import FoalnetError, MachineError, UsageError, reason

FULL = (errno.ENOSPC, errno.EDQUOT)
# Whatever file is met by it, the file is not at fault.
MACHINE = (*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
# Of a decoder's words these are the machine's; "Cannot allocate memory" a damaged file can bring about too.
SAID = tuple(os.strerror(number) for number in (*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE))
# What libraries say of a lack of memory in errors of other kinds: the loader, the thread library, torch.
NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread", "can't allocate memory")
AGAIN = "then run the same command again"


def fault_of(error: BaseException) -> FoalnetError | None:
    """Return the error that a machine's fault, or a name that no disk takes, is for the user; None for any other."""
    if isinstance(error, MemoryError) or (
        isinstance(error, ImportError | RuntimeError | OSError) and any(words in str(error) for words in NO_MEMORY)
    ):
        what = f"this machine's memory, or its limit for this process, does not suffice: {reason(error)}"
        return MachineError(what, action=f"free memory, or lower FOALNET_WORKERS, {AGAIN}")
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return UsageError("the name is longer than this disk takes", file=error.filename, action="correct the name")
    if error.errno in MACHINE:
        # What names no file is written to a temporary one.
        file = error.filename or (tempfile.gettempdir() if error.errno in FULL else None)
        what = why(error, None if file is None else Path(os.fsdecode(file)))
        return MachineError(what, file=file, action=action_of(error))
    if "No usable temporary directory" in str(error):
        return MachineError(reason(error), action=f"free space there, or set TMPDIR to another folder, {AGAIN}")
    return None


def why(error: OSError, path: Path | None) -> str:
    """Say in words what the system said; of a full disk with what is left of it."""
    said = reason(error)
    return f"{said}; {left(path)}" if error.errno in FULL and path is not None else said


def action_of(error: OSError) -> str:
    """Say what helps against a fault of the machine."""
    if error.errno in FULL:
        return f"free space there, or set TMPDIR to a folder on another disk, {AGAIN}"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"raise the limit of open files (`ulimit -n`) or lower FOALNET_WORKERS, {AGAIN}"
    return f"mend the disk or its mount, {AGAIN}"


def left(path: Path) -> str:
    """Say what is free on the disk of a path: bytes, or that no inode is."""
    try:
        place = next(each for each in (path, *path.absolute().parents) if each.exists())
        facts, free = os.statvfs(place), shutil.disk_usage(place).free
    except OSError:
        return "how much is free is not known"
    if facts.f_files and not facts.f_favail:
        return f"no inode is free (the disk holds its {facts.f_files:,} files and folders), though {free:,} bytes are"
    return f"{free:,} bytes are free"


def is_full(folder: Path) -> bool:
    """Tell whether a folder's disk has no byte or no inode left."""
    facts = os.statvfs(folder)
    return not facts.f_bavail or bool(facts.f_files and not facts.f_favail)


def of_decoder(said: str, clip: Path, folder: Path | None = None) -> MachineError | None:
    """Return what a decoder's failure is where this machine refused it something; None where the clip may be at fault.

    `folder`: where it writes temporary files; on a full disk it cannot always say so.
    """
    words = next((words for words in SAID if words in said), "")
    if not words and folder is not None and is_full(folder):
        words = os.strerror(errno.ENOSPC)
    if not words:
        return None
    where = "" if folder is None else f"; in {folder} {left(folder)}"
    return MachineError(
        f"this machine refused the decoder: {words}{where}",
        file=clip,
        action=f"free space there, or set TMPDIR to a folder on another disk, {AGAIN}"
        if folder is not None
        else f"raise the limit of open files (`ulimit -n`) or lower FOALNET_WORKERS, {AGAIN}",
    )
