"""Temporary files of writers: their names, the detection of a living writer, the removal of what killed writers left.

A killed writer leaves its temporary files and nothing else. A clean-up must keep the files of a living writer: its pid
exists or, if it runs in another container or on another machine, it holds a lock on the temporary file or on its claim
file in that folder.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMP_SUFFIX = ".part"
CLAIM = "claim"
# A clean-up locks a temporary file for a moment to test it; a writer tries again meanwhile.
TRIES, PAUSE_S = 20, 0.01


def temporary_of(path: Path) -> Path:
    """Return the hidden temporary path, in the same folder, where this process writes the future content of `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMP_SUFFIX}")


@contextmanager
def in_use(temp: Path) -> Iterator[None]:
    """Create a temporary file and hold its lock: a process in another container cannot check the pid in its name."""
    descriptor = _locked(temp)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(temp: Path) -> int:
    for tries_left in range(TRIES, -1, -1):
        descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = temp.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            mine = False  # a clean-up is testing the file, or has just deleted it
        except OSError:
            mine = True  # the disk has no locks: the pid in the name has to suffice
        if mine or not tries_left:
            break
        os.close(descriptor)
        time.sleep(PAUSE_S)
    return descriptor


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold one lock for all temporary files of this process in a folder."""
    claim = temporary_of(folder / CLAIM)
    try:
        with in_use(claim):
            yield
    finally:
        drop(claim)


def drop(temp: Path) -> None:
    """Remove a temporary file; ignore it if it is absent or cannot be removed."""
    with suppress(OSError):
        temp.unlink(missing_ok=True)


def dead_temporaries(folder: Path, *, below: bool = True) -> list[Path]:
    """Return the temporary files that killed writers left in `folder` (with `below`: and its subfolders), sorted."""
    temporaries = sorted((folder.rglob if below else folder.glob)(f".*{TEMP_SUFFIX}")) if folder.is_dir() else []
    return [path for path in temporaries if not _has_writer(path)]


def _has_writer(temp: Path) -> bool:
    pid = temp.name.removesuffix(TEMP_SUFFIX).rsplit(".", 1)[-1]
    if pid.isdigit() and alive(int(pid)):
        return True
    return _held(temp) or _held(temp.with_name(f".{CLAIM}.{pid}{TEMP_SUFFIX}"))


def _held(path: Path) -> bool:
    try:
        return is_held(path)
    except FileNotFoundError:
        return False  # its writer has just finished, or there is no claim file
    except OSError:
        return True  # unreadable or not a regular file: assume that it is in use


def remove_temporaries(folder: Path, *, below: bool = True) -> int:
    """Remove the temporary files that killed writers left in `folder`; return how many."""
    left = dead_temporaries(folder, below=below)
    for path in left:
        drop(path)
    return len(left)


def alive(pid: int) -> bool:
    """Return whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_held(path: Path) -> bool:
    """Return whether a process holds a file's lock exclusively; tests it with a shared lock for a moment."""
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
