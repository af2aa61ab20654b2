"""A lock file that allows one writer at a time: the kernel holds the lock, the file names the holder."""

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

# Content of a lock file. `boot` identifies the running kernel, which can tell whether the holder still lives.
HOLDER = re.compile(r"pid \d+ on (?P<host>\S+) since \S+, boot (?P<boot>\S+)")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the writer's lock; raises MachineError (exit 4) with process, host and start time of another holder.

    The kernel owns the lock, so it ends with its process: the next holder on this machine takes over with a warning,
    and no one has to delete a file. A lock that a holder on another machine did not release is refused, because this
    machine cannot tell whether that process lives (R3: stale only if the pid is gone on this host).
    """
    while True:
        descriptor = _open_lock(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise _refused_lock(error, path, os.pread(descriptor, 1000, 0)) from error
            if not _same_file(descriptor, path):
                # The file was deleted between opening and locking; a lock on it would exclude no other process.
                continue
            _take_over(path)
            # The content is for people only: `foalnet gc` must get the lock on a full disk too.
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


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise not_written(error, path) from error


def _refused_lock(error: OSError, path: Path, holder: bytes) -> MachineError:
    if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
        return MachineError(
            f"this disk cannot lock files: {reason(error)}",
            file=path,
            action="put the work folder on a disk that can: export FOALNET_WORK=FOLDER",
        )
    return MachineError(
        f"another run is at work here ({holder.decode('utf-8', 'replace').strip() or 'holder unknown'})",
        file=path,
        action="wait for it to end, then run the same command again",
    )


def _take_over(path: Path) -> None:
    """Warn or raise MachineError if the last holder of the free lock ended without releasing it."""
    left = unreleased(path)
    if left is None:
        return
    if elsewhere(left):
        raise MachineError(
            f"another machine has not released this lock ({left}); this machine cannot tell whether that run lives",
            file=path,
            action="wait for that run to end; if it is gone for good, remove this file, then run the command again",
        )
    logger.warning("%s: took over the lock of a process that is gone (%s)", path, left)


def unreleased(path: Path) -> str | None:
    """Return the holder that ended without releasing a lock file; None if the last one released it."""
    return path.read_bytes()[:1000].decode("utf-8", "replace").strip() or None


def elsewhere(holder: str) -> bool:
    """Return whether a lock's holder is or was a process of another machine."""
    match = HOLDER.match(holder)
    # Containers of one machine have different host names and the same kernel; a restarted machine keeps its name.
    return match is not None and match["host"] != socket.gethostname() and match["boot"] != _boot()


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
