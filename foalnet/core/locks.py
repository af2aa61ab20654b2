"""One writer at a time: a lock that the kernel holds, with words on who has it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from foalnet.core.errors import MachineError, reason
from foalnet.core.files import not_written

logger = logging.getLogger(__name__)

# Who holds a lock, as its file says it; `boot` names the run of the kernel that knows whether the holder lives.
HOLDER = re.compile(r"pid \d+ on (?P<host>\S+) since \S+, boot (?P<boot>\S+)")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def lock(path: Path, *, stage: str) -> Iterator[None]:
    """Hold the one writer's lock; MachineError (exit 4) names the process that holds it, its host and since when.

    The kernel owns the lock: a killed holder of this machine leaves nothing behind that a person must delete, and the
    next one says that it takes over. What a holder of another machine left is refused, since from here nobody can tell
    whether it lives (R3: stale only if the pid is gone on this host).
    """
    while True:
        descriptor = _open_lock(path, stage)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise _refused_lock(error, path, stage, os.pread(descriptor, 1000, 0)) from error
            if not _same_file(descriptor, path):
                # It was swept away between opening and locking: what we hold, nobody else would meet.
                continue
            _take_over(path, stage)
            # The words are for people; a full disk that takes none must not keep `foalnet gc` from emptying it.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _holder().encode(), 0)
            try:
                yield
            finally:
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
            return
        finally:
            os.close(descriptor)


def _open_lock(path: Path, stage: str) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise not_written(error, path, stage=stage) from error


def _refused_lock(error: OSError, path: Path, stage: str, told: bytes) -> MachineError:
    if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
        return MachineError(
            f"this disk cannot lock files: {reason(error)}",
            file=path,
            stage=stage,
            action="put the work folder on a disk that can: export FOALNET_WORK=FOLDER",
        )
    return MachineError(
        f"another run is at work here ({told.decode('utf-8', 'replace').strip() or 'holder unknown'})",
        file=path,
        stage=stage,
        action="wait for it to end, then run the same command again",
    )


def _take_over(path: Path, stage: str) -> None:
    """Look at what the last holder left in a lock that is free now; who ends in order leaves nothing."""
    left = unreleased(path)
    if left is None:
        return
    if elsewhere(left):
        raise MachineError(
            f"another machine has not released this lock ({left}); from here nobody can tell whether its run lives",
            file=path,
            stage=stage,
            action="wait for that run to end; where it is gone for good, remove this file, then run the command again",
        )
    logger.warning("%s: the lock of a process that is gone (%s) is taken over", path, left)


def unreleased(path: Path) -> str | None:
    """Return what a lock file says of a holder that did not release it, None where it says nothing."""
    return path.read_bytes()[:1000].decode("utf-8", "replace").strip() or None


def elsewhere(holder: str) -> bool:
    """Tell whether a lock's holder is, or was, a process of another machine."""
    found = HOLDER.match(holder)
    # Containers have names of their own and one kernel; a machine that was started anew keeps its name.
    return found is not None and found["host"] != socket.gethostname() and found["boot"] != _boot()


def _holder() -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"pid {os.getpid()} on {socket.gethostname()} since {since}, boot {_boot()}"


def _boot() -> str:
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return "unknown"


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
