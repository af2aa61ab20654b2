"""Weights on this machine: a folder per encoder in the hub's own layout, and a lock file that holds their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.config import Settings
from foalnet.core.errors import MachineError, reason
from foalnet.core.files import NotPlain, json_bytes, not_read, publish_bytes, read_plain, sha256_file
from foalnet.encoders.catalogue import CONFIG, PREPROCESSOR, SAFE, WeightSet, published

LOCK = "foalnet-weights.json"
SCHEMA = 1
# What a stage reads, whatever was published.
READ = (CONFIG, PREPROCESSOR, SAFE)
# Of a file in JSON beside the weights; the largest known has 10 kB.
MOST_CONFIG_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A pretrained encoder: its architecture, how its input is prepared, and the digest of its weights.

    `folder` holds the checked files; None builds the architecture alone, to be filled from a sealed checkpoint.
    """

    name: str
    sha256: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    folder: Path | None = None

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint must hold so that the network can be built without these files."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any] | None) -> Pretrained | None:
        """Return what `facts` told of (None for None): an architecture without files."""
        return None if facts is None else cls(**facts)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The lock file: digests of the files as they lie here, and of the published file that they came from.

    `revision` is None where the files are a user's own; `source` is then the digest of the model file they gave.
    """

    schema: int
    name: str
    revision: str | None
    source: str
    files: dict[str, str]


def open_weights(name: str, settings: Settings, *, own: str | None = None, stage: str | None = None) -> Pretrained:
    """Return a pretrained encoder after checking every byte of it; nothing is fetched.

    `own`: SHA-256 of a user's model file, where params name one; else the published bytes are asked for.
    MachineError (exit 4) names what is missing or not the bytes it should be, with both digests.
    """
    entry = published(name)
    folder = settings.weights_folder / name
    lock = read_lock(entry, folder, stage=stage)
    _hold_to_params(entry, lock, own, folder, stage)
    for file, expected in lock.files.items():
        if not (folder / file).is_file():
            raise missing(entry, folder, [file], stage=stage)
        same_digest(folder / file, expected, "recorded for it", entry, stage=stage)
    return Pretrained(
        name=name,
        sha256=lock.source,
        config=_json(folder / CONFIG),
        preprocessor=_json(folder / PREPROCESSOR),
        folder=folder,
    )


def _hold_to_params(entry: WeightSet, lock: Lock, own: str | None, folder: Path, stage: str | None) -> None:
    """Refuse (MachineError, exit 4) weights other than those that params ask for."""
    if own is not None:
        asked, found, whose = own, lock.source, "params ask for"
    else:
        # Without a published digest the first fetch of the pinned revision tells it.
        first = lock.source if lock.revision == entry.revision else f"of revision {entry.revision}"
        asked, found, whose = entry.files[entry.model] or first, lock.source, "published"
    if found != asked:
        raise MachineError(
            f"these are not the weights {whose}: expected sha256 {asked}, recorded sha256 {found}",
            file=folder / LOCK,
            stage=stage,
            action=f"lay the right files there and run `foalnet weights fetch {entry.name}`, or name this digest in "
            "params (`weights`) if these are the ones you mean",
        )


def read_lock(entry: WeightSet, folder: Path, *, stage: str | None = None) -> Lock:
    """Return the lock file of an encoder's folder (MachineError, exit 4, where there is none that can be used)."""
    path = folder / LOCK
    try:
        data = json.loads(read_plain(path, MOST_CONFIG_BYTES))
        lock = Lock(**data)
        usable = lock.schema == SCHEMA and lock.name == entry.name and set(lock.files) == set(READ)
    except FileNotFoundError:
        absent = [file for file in READ if not (folder / file).is_file()] or [LOCK]
        raise missing(entry, folder, absent, stage=stage) from None
    except (ValueError, TypeError, NotPlain) as error:
        raise _damaged(entry, path, reason(error), stage) from error
    except OSError as error:
        raise not_read(error, path, stage=stage) from error
    if not usable:
        raise _damaged(entry, path, "it is of another schema or encoder", stage)
    return lock


def write_lock(entry: WeightSet, folder: Path, *, source: str, revision: str | None) -> Lock:
    """Record the digests of the files as they lie in the folder: from now on they are held to them."""
    lock = Lock(
        schema=SCHEMA,
        name=entry.name,
        revision=revision,
        source=source,
        files={file: sha256_file(folder / file) for file in READ},
    )
    publish_bytes(folder / LOCK, json_bytes(asdict(lock)))
    return lock


def same_digest(path: Path, expected: str, whose: str, entry: WeightSet, *, stage: str | None = None) -> None:
    """Refuse (MachineError, exit 4) a file that has not the digest expected; both are shown."""
    found = sha256_file(path)
    if found != expected:
        raise MachineError(
            f"{path.name} of {entry.name} does not have the digest {whose}: expected sha256 {expected}, "
            f"found sha256 {found}",
            file=path,
            stage=stage,
            action=f"remove it and run `foalnet weights fetch {entry.name}`",
        )


def missing(entry: WeightSet, folder: Path, files: list[str], *, stage: str | None = None) -> MachineError:
    """Return the error that says what is not there, where it was published, and what mends it."""
    digest = entry.files[entry.model]
    return MachineError(
        f"the weights {entry.name} are not ready on this machine: {', '.join(files)} not found "
        f"({entry.repository} at revision {entry.revision}, {entry.model} "
        + (f"with sha256 {digest})" if digest else "without a published sha256)"),
        file=folder,
        stage=stage,
        action=f"run `foalnet weights fetch {entry.name}`: it fetches what is missing (nothing where you have laid "
        "the files there), checks and records it; FOALNET_WEIGHTS names another folder",
    )


def _damaged(entry: WeightSet, path: Path, what: str, stage: str | None) -> MachineError:
    return MachineError(
        f"the lock file cannot be used: {what}",
        file=path,
        stage=stage,
        action=f"remove it and run `foalnet weights fetch {entry.name}`",
    )


def _json(path: Path) -> dict[str, Any]:
    """Read a JSON object; names that begin with _ are its writer's own and may hold a path of that machine."""
    try:
        data = json.loads(read_plain(path, MOST_CONFIG_BYTES))
        return {name: value for name, value in data.items() if not name.startswith("_")}
    except (ValueError, AttributeError, OSError) as error:
        raise MachineError(
            f"no JSON object: {reason(error)}", file=path, action="remove it and fetch it again"
        ) from error
