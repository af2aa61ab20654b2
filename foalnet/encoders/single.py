"""Fetches single published files with a known digest; face detectors have no folder in a hub's layout."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from foalnet.core.errors import MachineError
from foalnet.core.files import need_free, publishing, sha256_file

TIMEOUT_S = 60.0
PART_BYTES = 1 << 20


class Published(Protocol):
    """The facts of a published file."""

    @property
    def name(self) -> str:
        """File name."""

    @property
    def sha256(self) -> str:
        """Digest of the published bytes."""

    @property
    def origin(self) -> str:
        """A description of its source."""

    @property
    def address(self) -> str | None:
        """URL, None if none is recorded."""


def fetch_file(wanted: Published, folder: Path) -> Path:
    """Fetch a file into `folder`, atomically and only with the published digest; return its path.

    MachineError (exit 4) if no address is recorded, the network fails, or the digest differs: the message shows both
    digests, and the download is deleted.
    """
    path = folder / wanted.name
    if wanted.address is None:
        raise MachineError(
            f"no address of {wanted.name} is recorded here (sha256 {wanted.sha256})",
            action=_by_hand(wanted, path),
        )
    with publishing(path) as temp:
        _download(wanted.address, temp, wanted, path)
        actual = sha256_file(temp)
        if actual != wanted.sha256:
            raise MachineError(
                f"{wanted.name} from {wanted.address} is not the published file: expected sha256 "
                f"{wanted.sha256}, actual sha256 {actual}; it was deleted",
                action=_by_hand(wanted, path),
            )
    return path


def _download(address: str, to: Path, wanted: Published, path: Path) -> None:
    try:
        # The address is a constant of the code, not an input.
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, to.open("wb") as out:  # noqa: S310
            need_free(to.parent, int(answer.headers.get("Content-Length") or 0))
            while part := answer.read(PART_BYTES):
                out.write(part)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise MachineError(
            f"{wanted.name} cannot be fetched from {address}: {getattr(error, 'reason', None) or error}",
            action=f"check the network and run the same command again, or {_by_hand(wanted, path)}",
        ) from error


def _by_hand(wanted: Published, path: Path) -> str:
    return f"get it from {wanted.origin} and put it at {path}: every use checks its digest"
