"""Reads objects of DVC's remotes, of every kind that DVC can reach; writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from foalnet.artifact.digests import Digest, digest_of
from foalnet.artifact.dvcrepo import OBJECTS, dvc_config
from foalnet.core.errors import MachineError, UsageError, named
from foalnet.core.redact import redact

AT_ONCE = 16
DEFAULT = ""
T = TypeVar("T")


def place_of(md5: str) -> tuple[str, str]:
    """Return folder and name of an object: its first two digits, and the others."""
    return md5[:2], md5[2:]


class Remote:
    """One DVC remote; `name` "" is the default one.

    UsageError (exit 2) where there is no such remote; MachineError (exit 4) where it cannot be reached.
    """

    def __init__(self, home: Path, name: str) -> None:
        config = dvc_config(home)
        known = list(config["remote"])
        self.name = name or config["core"].get("remote", "")
        if self.name not in known:
            what = f"no DVC remote '{self.name}'" if self.name else "no DVC remote is the default one"
            raise UsageError(
                f"{what}; there are: {', '.join(known) or 'none'}",
                action="`dvc remote add -d NAME URL`, or `foalnet verify CORPUS --remote NAME`",
            )
        self._digests: dict[str, Digest | None] = {}
        self.url = redact(config["remote"][self.name]["url"])
        self._files, folder = self._reached(lambda: _filesystem(config, self.name))
        if not self._reached(lambda: self._files.exists(folder)):
            raise self._down("its folder is not there (is its disk mounted?)")
        self._folder = self._files.join(folder, *OBJECTS)

    def digests(self, wanted: list[str]) -> dict[str, Digest | None]:
        """Fetch many objects in parallel; return the digest of each one's bytes, None if it is absent."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(self.digest, wanted), strict=True))

    def digest(self, md5: str) -> Digest | None:
        """Fetch an object and return the digest of its bytes; None if it is absent."""
        if md5 not in self._digests:
            self._digests[md5] = self._opened(md5, digest_of)
        return self._digests[md5]

    def has(self, wanted: list[str]) -> dict[str, bool]:
        """Return for many objects whether they exist; none is read."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            there = pool.map(lambda md5: self._reached(lambda: bool(self._files.exists(self._place(md5)))), wanted)
            return dict(zip(wanted, there, strict=True))

    def read(self, md5: str) -> bytes | None:
        """Return an object's bytes, None where it is not there."""
        return self._opened(md5, lambda stream: bytes(stream.read()))

    def shown(self, md5: str) -> str:
        """Return the address of an object without secrets."""
        return "/".join((self.url.rstrip("/"), *OBJECTS, *place_of(md5)))

    def _place(self, md5: str) -> Any:
        return self._files.join(self._folder, *place_of(md5))

    def _opened(self, md5: str, use: Callable[[Any], T]) -> T | None:
        def fetch() -> T | None:
            try:
                with self._files.open(self._place(md5), "rb") as stream:
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
            action=f"`dvc status --cloud --remote {self.name}` says more; without --remote nothing is asked of it",
        )


def _filesystem(config: Any, name: str) -> tuple[Any, str]:
    from dvc.fs import get_cloud_fs

    kind, options, folder = get_cloud_fs(config, name=name)
    return kind(**options), folder
