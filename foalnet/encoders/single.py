"""One published file of a known digest, fetched: what the face detectors need, who have no folder in a hub's layout."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from foalnet.core.errors import MachineError
from foalnet.core.files import need_free, publishing, sha256_file

STAGE = "weights"
TIMEOUT_S = 60.0
PART_BYTES = 1 << 20


class Published(Protocol):
    """What must be known of a file: its name, its SHA-256, where it comes from in words, and its address or None."""

    @property
    def name(self) -> str:
        """File name."""

    @property
    def sha256(self) -> str:
        """Digest of the published bytes."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""

    @property
    def address(self) -> str | None:
        """URL, None where none is recorded."""


def fetch_file(wanted: Published, folder: Path) -> Path:
    """Fetch a file into `folder`, where it stands whole and as published or not at all; return its path.

    MachineError (exit 4) where no address is recorded, the network fails, or the bytes are others: they are dropped,
    and both digests are shown.
    """
    path = folder / wanted.name
    if wanted.address is None:
        raise MachineError(
            f"no address of {wanted.name} is recorded here (sha256 {wanted.sha256})",
            stage=STAGE,
            action=_by_hand(wanted, path),
        )
    with publishing(path) as temp:
        _download(wanted.address, temp, wanted, path)
        found = sha256_file(temp)
        if found != wanted.sha256:
            raise MachineError(
                f"{wanted.name} as {wanted.address} gives it is not the published file: expected sha256 "
                f"{wanted.sha256}, found sha256 {found}; it was dropped",
                stage=STAGE,
                action=_by_hand(wanted, path),
            )
    return path


def _download(address: str, to: Path, wanted: Published, path: Path) -> None:
    try:
        # The address stands in the code, not in anybody's input.
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, to.open("wb") as out:  # noqa: S310
            need_free(to.parent, int(answer.headers.get("Content-Length") or 0), stage=STAGE)
            while part := answer.read(PART_BYTES):
                out.write(part)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise MachineError(
            f"{wanted.name} cannot be fetched from {address}: {getattr(error, 'reason', None) or error}",
            stage=STAGE,
            action=f"look at the network and run the same command again, or {_by_hand(wanted, path)}",
        ) from error


def _by_hand(wanted: Published, path: Path) -> str:
    return f"get it from {wanted.origin} and lay it at {path}: it is checked whenever it is used"
