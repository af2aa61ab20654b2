"""Opens weights on this machine: a folder per encoder in the hub's layout, with a lock file of digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.config import Settings
from foalnet.core.errors import MachineError, reason
from foalnet.core.files import NotPlain, json_bytes, not_read, publish_bytes, read_plain, sha256_file
from foalnet.encoders.catalogue import CONFIG, WeightSet, published

LOCK = "foalnet-weights.json"
SCHEMA = 1
# The limit for a JSON file next to the weights; the largest known has 10 kB.
MOST_CONFIG_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A pretrained encoder: its architecture, its preprocessing, and the digest of its weights.

    `folder` holds the checked files; None means the architecture alone, with weights from a sealed checkpoint.
    """

    name: str
    sha256: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    folder: Path | None = None

    def facts(self) -> dict[str, Any]:
        """Return the facts that a checkpoint stores, from which the network can be built without these files."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any] | None) -> Pretrained | None:
        """Return the encoder of `facts` without a folder; None for None."""
        return None if facts is None else cls(**facts)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The lock file: digests of the stored files, and of the published file from which they were made.

    `revision` is None for a user's own files; `source` is then the digest of the user's model file.
    """

    schema: int
    name: str
    revision: str | None
    source: str
    files: dict[str, str]


def open_weights(name: str, settings: Settings, *, own: str | None = None) -> Pretrained:
    """Return a pretrained encoder after checking the digest of each file; download nothing.

    `own`: the SHA-256 of a user's model file if params name one; otherwise the published weights are required.
    MachineError (exit 4) names a file that is missing or has another digest, with both digests.
    """
    entry = published(name)
    folder = settings.weights_folder / name
    lock = read_lock(entry, folder)
    _check_params(entry, lock, own, folder)
    for file, expected in lock.files.items():
        if not (folder / file).is_file():
            raise missing(entry, folder, [file])
        same_digest(folder / file, expected, "recorded", entry)
    return Pretrained(
        name=name,
        sha256=lock.source,
        config=_json(folder / CONFIG),
        preprocessor=_json(folder / entry.prepares),
        folder=folder,
    )


def _check_params(entry: WeightSet, lock: Lock, own: str | None, folder: Path) -> None:
    """Raise MachineError (exit 4) for weights other than those that params require."""
    if own is not None:
        expected, actual, origin = own, lock.source, "that params require"
    else:
        # Without a published digest, the first fetch of the pinned revision recorded it.
        first = lock.source if lock.revision == entry.revision else f"of revision {entry.revision}"
        expected, actual, origin = entry.files[entry.model] or first, lock.source, "that were published"
    if actual != expected:
        raise MachineError(
            f"these are not the weights {origin}: expected sha256 {expected}, recorded sha256 {actual}",
            file=folder / LOCK,
            action=f"put the right files there and run `foalnet weights fetch {entry.name}`, or name this digest in "
            "params (`weights`) if you want these weights",
        )


def read_lock(entry: WeightSet, folder: Path) -> Lock:
    """Return the lock file of an encoder's folder; MachineError (exit 4) if it is absent or unusable."""
    path = folder / LOCK
    try:
        data = json.loads(read_plain(path, MOST_CONFIG_BYTES))
        lock = Lock(**data)
        usable = lock.schema == SCHEMA and lock.name == entry.name and set(lock.files) == set(entry.read)
    except FileNotFoundError:
        absent = [file for file in entry.read if not (folder / file).is_file()] or [LOCK]
        raise missing(entry, folder, absent) from None
    except (ValueError, TypeError, NotPlain) as error:
        raise _damaged(entry, path, reason(error)) from error
    except OSError as error:
        raise not_read(error, path) from error
    if not usable:
        raise _damaged(entry, path, "it is of another schema or encoder")
    return lock


def write_lock(entry: WeightSet, folder: Path, *, source: str, revision: str | None) -> Lock:
    """Record the digests of the files in the folder; every later use checks the files against them."""
    lock = Lock(
        schema=SCHEMA,
        name=entry.name,
        revision=revision,
        source=source,
        files={file: sha256_file(folder / file) for file in entry.read},
    )
    publish_bytes(folder / LOCK, json_bytes(asdict(lock)))
    return lock


def same_digest(path: Path, expected: str, origin: str, entry: WeightSet) -> None:
    """Raise MachineError (exit 4), with both digests, for a file with another digest than expected."""
    actual = sha256_file(path)
    if actual != expected:
        raise MachineError(
            f"{path.name} of {entry.name} does not have the {origin} digest: expected sha256 {expected}, "
            f"actual sha256 {actual}",
            file=path,
            action=f"remove it and run `foalnet weights fetch {entry.name}`",
        )


def missing(entry: WeightSet, folder: Path, files: list[str]) -> MachineError:
    """Return the error that names the missing files, their repository and the command that fetches them."""
    digest = entry.files[entry.model]
    return MachineError(
        f"the weights {entry.name} are not ready on this machine: {', '.join(files)} not found "
        f"({entry.repository} at revision {entry.revision}, {entry.model} "
        + (f"with sha256 {digest})" if digest else "without a published sha256)"),
        file=folder,
        action=f"run `foalnet weights fetch {entry.name}`: it fetches what is missing (nothing if you have put "
        "the files there), checks and records it; FOALNET_WEIGHTS names another folder",
    )


def _damaged(entry: WeightSet, path: Path, what: str) -> MachineError:
    return MachineError(
        f"the lock file cannot be used: {what}",
        file=path,
        action=f"remove it and run `foalnet weights fetch {entry.name}`",
    )


def _json(path: Path) -> dict[str, Any]:
    """Return a JSON object without names that begin with _, which may hold a path of its writer's machine."""
    try:
        data = json.loads(read_plain(path, MOST_CONFIG_BYTES))
        return {name: value for name, value in data.items() if not name.startswith("_")}
    except (ValueError, AttributeError, OSError) as error:
        raise MachineError(
            f"not a JSON object: {reason(error)}", file=path, action="remove it and fetch it again"
        ) from error
