"""Reads objects where DVC keeps them, in its cache and in remotes of every kind; writes nothing.

DVC says where an object is. The bytes are read here: DVC itself trusts an object that is read-only, and its own check
removes a damaged one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, TypeVar

from foalnet.artifact.digests import Digest, Reader, digest_of
from foalnet.core.errors import MachineError, UsageError, named
from foalnet.core.redact import redact

AT_ONCE = 16
# The clients of remotes wait for some minutes themselves.
ANSWER_S = 60.0
DEFAULT = ""
T = TypeVar("T")


class Place(Protocol):
    """A place that has objects by the MD5 of their bytes; a folder's list has the name `<md5>.dir`."""

    kind: str

    def digests(self, wanted: Iterable[str]) -> dict[str, Digest | None]:
        """Read objects and return the digest of each one's bytes, None where it is absent."""

    def read(self, md5: str) -> bytes | None:
        """Return an object's bytes, None where it is absent."""

    def shown(self, md5: str) -> str:
        """Return where an object is or would be, as a user types it and without secrets."""


class Cache:
    """DVC's cache of a project; `repo` is DVC's."""

    kind = "cache"

    def __init__(self, repo: Any, reader: Reader) -> None:
        self._objects, self._reader, self._home = repo.cache.local, reader, Path(repo.root_dir)

    def path(self, md5: str) -> Path:
        """Return the path of an object."""
        return Path(self._objects.oid_to_path(md5))

    def has(self, md5: str) -> bool:
        """Return whether an object exists; it is not read."""
        return self.path(md5).is_file()

    def digests(self, wanted: Iterable[str]) -> dict[str, Digest | None]:
        """Read objects in parallel; MachineError (exit 4) where one cannot be read."""
        paths = {md5: self.path(md5) for md5 in wanted}
        read = self._reader.digests(path for path in paths.values() if path.is_file())
        return {md5: read.get(path) for md5, path in paths.items()}

    def read(self, md5: str) -> bytes | None:
        """Return an object's bytes, None where it is absent."""
        return self.path(md5).read_bytes() if self.has(md5) else None

    def shown(self, md5: str) -> str:
        """Return the path of an object, relative to the project if it is inside."""
        path = self.path(md5)
        return path.relative_to(self._home).as_posix() if path.is_relative_to(self._home) else str(path)


class Remote:
    """One DVC remote of a project; `repo` is DVC's, `name` "" the default remote.

    UsageError (exit 2) where there is no such remote; MachineError (exit 4) where it cannot be reached.
    """

    kind = "remote"

    def __init__(self, repo: Any, name: str) -> None:
        known = repo.config["remote"]
        self.name = name or repo.config["core"].get("remote", "")
        if self.name not in known:
            what = f"no DVC remote '{self.name}'" if self.name else "no DVC remote is the default one"
            raise UsageError(
                f"{what}; there are: {', '.join(known) or 'none'}",
                action="`dvc remote add -d NAME URL`, or `foalnet verify CORPUS --remote NAME`",
            )
        self._digests: dict[str, Digest | None] = {}
        self.url = redact(known[self.name]["url"])
        remote = self._reached(lambda: repo.cloud.get_remote(self.name))
        self._objects, self._root = remote.odb, str(remote.path)
        if not self._reached(lambda: _in_time(lambda: remote.fs.exists(remote.path))):
            raise self._down("its folder is not there (is its disk mounted?)")

    def digests(self, wanted: Iterable[str]) -> dict[str, Digest | None]:
        """Fetch many objects in parallel; return the digest of each one's bytes, None if it is absent."""
        every = list(wanted)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(every, pool.map(self._digest, every), strict=True))

    def _digest(self, md5: str) -> Digest | None:
        if md5 not in self._digests:
            self._digests[md5] = self._opened(md5, digest_of)
        return self._digests[md5]

    def has(self, wanted: list[str]) -> dict[str, bool]:
        """Return for many objects whether they exist; none is read."""
        exists = self._objects.fs.exists

        def has(md5: str) -> bool:
            return self._reached(lambda: bool(exists(self._objects.oid_to_path(md5))))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(has, wanted), strict=True))

    def read(self, md5: str) -> bytes | None:
        """Return an object's bytes, None where it is not there."""
        return self._opened(md5, lambda stream: bytes(stream.read()))

    def shown(self, md5: str) -> str:
        """Return the address of an object without secrets."""
        inside = self._objects.oid_to_path(md5).removeprefix(self._root)
        return f"{self.url.rstrip('/')}/{inside.lstrip('/')}"

    def _opened(self, md5: str, use: Callable[[Any], T]) -> T | None:
        def fetch() -> T | None:
            try:
                with self._objects.fs.open(self._objects.oid_to_path(md5), "rb") as stream:
                    return use(stream)
            except FileNotFoundError:
                return None

        return self._reached(fetch)

    def _reached(self, ask: Callable[[], T]) -> T:
        """Call the remote; raise MachineError for any error of its client."""
        try:
            return ask()
        except MachineError:
            raise
        except Exception as error:
            # Each kind of remote has its own client with its own errors.
            raise self._down(redact(named(error))) from error

    def _down(self, what: str) -> MachineError:
        return MachineError(
            f"DVC remote {self.name} ({self.url}) cannot be read: {what}",
            action=f"`dvc status --cloud --remote {self.name}` says more; without --remote verify does not contact it",
        )


def _in_time(ask: Callable[[], T]) -> T:
    """Call a remote for the first time; TimeoutError where it does not answer within ANSWER_S."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            answer.set_exception(error)

    # A daemon: the process ends without a client that hangs.
    Thread(target=call, daemon=True).start()
    try:
        return answer.result(ANSWER_S)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {ANSWER_S:g} s") from error
