"""Temporary files of writers: their names, the sign that their writer lives, and the clearing away of dead ones.

A writer that is killed leaves its temporaries behind, and nothing else. Who clears up must not take those of a living
one: its process lives, or, where it runs in another container or on another machine, it holds a lock on the temporary
itself or on its claim in that folder.
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
# Who clears up holds a temporary for the moment of a look.
TRIES, PAUSE_S = 20, 0.01


def temporary_of(path: Path) -> Path:
    """Return where this process writes what will be `path`: beside it, hidden."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMP_SUFFIX}")


@contextmanager
def in_use(temp: Path) -> Iterator[None]:
    """Make a file and mark it as one of a living writer; in another container the number in its name says nothing."""
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
            mine = False  # somebody who clears up looks at it, or has just taken it for a dead writer's
        except OSError:
            mine = True  # on a disk without locks the process' number must do
        if mine or not tries_left:
            break
        os.close(descriptor)
        time.sleep(PAUSE_S)
    return descriptor


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Mark all of this process' temporaries in a folder as a living writer's, however many there are."""
    claim = temporary_of(folder / CLAIM)
    try:
        with in_use(claim):
            yield
    finally:
        drop(claim)


def drop(temp: Path) -> None:
    """Remove a temporary, if it is there and can be."""
    with suppress(OSError):
        temp.unlink(missing_ok=True)


def dead_temporaries(folder: Path, *, below: bool = True) -> list[Path]:
    """Return what killed writers left in `folder` (and `below` it), sorted; no temporary whose writer lives."""
    found = sorted((folder.rglob if below else folder.glob)(f".*{TEMP_SUFFIX}")) if folder.is_dir() else []
    return [path for path in found if not _has_writer(path)]


def _has_writer(temp: Path) -> bool:
    pid = temp.name.removesuffix(TEMP_SUFFIX).rsplit(".", 1)[-1]
    if pid.isdigit() and alive(int(pid)):
        return True
    return _held(temp) or _held(temp.with_name(f".{CLAIM}.{pid}{TEMP_SUFFIX}"))


def _held(path: Path) -> bool:
    try:
        return is_held(path)
    except FileNotFoundError:
        return False  # its writer has just finished, or there is no claim
    except OSError:
        return True  # somebody else's, or no file: not ours to judge


def remove_temporaries(folder: Path, *, below: bool = True) -> int:
    """Remove what killed writers left in `folder` (and `below` it); return how many."""
    left = dead_temporaries(folder, below=below)
    for path in left:
        drop(path)
    return len(left)


def alive(pid: int) -> bool:
    """Tell whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_held(path: Path) -> bool:
    """Tell whether a process holds a file's lock, by sharing it for a moment."""
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
