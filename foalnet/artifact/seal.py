"""Seals: a JSON file that one stage writes and another reads says by itself whether it is whole.

The seal is the SHA-256 of the canonical JSON of the file's name and of everything else in the object, under its key
`seal`. It finds what was cut, altered or exchanged after the writing; who writes a new seal on purpose is found by
dvc.lock, which holds every file's digest.

Sealed: index.json of shards and of features, inventory.json, counts.json, staging.json, train.json, a run's
metrics.json and the report's. What else stages read is held by one of them or by a file beside it: shards and vectors
by their index, logits.json and logits.safetensors by train.json, predictions.jsonl by its metrics.json, manifest.jsonl
by manifest.sha256. Checkpoints have seals of their own (foalnet.artifact.checkpoint).

Not sealed, since no stage reads them back: report.html, report.md, history.csv, card.json, card.md, gate.md, and what
`foalnet tune` leaves for people. gate.json is read from a commit, whose name is its digest. What lies in work/ is a
cache: a damaged entry is made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.core.errors import DataError, reason
from foalnet.core.files import content_key, json_bytes, not_read, publish_bytes, sha256_bytes

SEAL = "seal"
SEAL_DIGITS = 64
ALTERED = "was altered after it was written"


def sealed_bytes(name: str, facts: Mapping[str, Any]) -> bytes:
    """Encode what the file `name` holds as canonical JSON with its seal; a seal that is there already is replaced."""
    bare = {key: value for key, value in facts.items() if key != SEAL}
    return json_bytes({**bare, SEAL: content_key([name, bare])})


def publish_sealed(path: Path, facts: Mapping[str, Any]) -> None:
    """Write an object with its seal to `path` atomically and durably."""
    publish_bytes(path, sealed_bytes(path.name, facts))


def read_sealed(
    path: Path, *, again: str, corpus: str | None = None, stage: str | None = None, unsealed: list[str] | None = None
) -> dict[str, Any]:
    """Return a sealed JSON file's object without its seal.

    `again`: the stage of dvc.yaml that writes the file, as `manifest@drawn`. DataError (exit 3) where the file is
    absent, no JSON object, without a seal, not what was sealed, or says that it is of another corpus than `corpus`;
    MachineError (exit 4) where it cannot be read. With a list as `unsealed`, a file without any seal, as older versions
    wrote it, is taken as it is and its path appended.
    """
    found = opened(read_bytes(path, again=again, stage=stage), path, again=again, stage=stage, unsealed=unsealed)
    if corpus is not None and found.get("corpus", corpus) != corpus:
        raise refused(f"is of corpus '{found['corpus']}', not of '{corpus}'", path, again=again, stage=stage)
    return found


def opened(
    data: bytes, path: Path, *, again: str, stage: str | None = None, unsealed: list[str] | None = None
) -> dict[str, Any]:
    """Return the object of a sealed file's bytes, as `read_sealed` does; `path` is for its errors."""
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise refused(f"{ALTERED}: it holds no JSON object", path, again=again, stage=stage)
        seal = found.pop(SEAL, None)
        if seal is None and unsealed is not None and not _renamed(path.name, found):
            unsealed.append(path.as_posix())
            return found
        expected = content_key([path.name, found])
    except (ValueError, RecursionError) as error:
        raise refused(f"{ALTERED}: it is no JSON any more ({_told(error)})", path, again=again, stage=stage) from error
    if seal is None:
        raise refused(f"has no seal: it {ALTERED}, or is of an older version", path, again=again, stage=stage)
    if seal != expected:
        raise refused(f"{ALTERED}: its seal is not that of this name and content", path, again=again, stage=stage)
    return found


def held_bytes(path: Path, sha256: object, *, by: Path, again: str, stage: str | None = None) -> bytes:
    """Return a file's bytes, which must have the digest that the file `by` beside it names (DataError, exit 3)."""
    data = read_bytes(path, again=again, stage=stage)
    if sha256_bytes(data) != sha256:
        what = f"{ALTERED}, or {by} was: its bytes are not those that {by.name} vouches for"
        raise refused(what, path, again=again, stage=stage)
    return data


def read_bytes(path: Path, *, again: str, stage: str | None = None) -> bytes:
    """Return a file's bytes (DataError, exit 3, where it is absent; MachineError, exit 4, where it cannot be read)."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("file not found", file=path, stage=stage, action=f"run `{command(again)}`") from error
    except OSError as error:
        raise not_read(error, path, stage=stage) from error


def refused(what: str, path: Path, *, again: str, stage: str | None) -> DataError:
    """Return the error for a file that is not what was written, with the command that writes it again."""
    return DataError(f"{path.name} {what}", file=path, stage=stage, action=f"run `{command(again)}`")


def command(again: str) -> str:
    """Return the command that runs one stage again and nothing else."""
    return f"dvc repro --force --single-item {again}"


def _renamed(name: str, found: Mapping[str, Any]) -> bool:
    """Tell whether the seal is there under another key: then the file is not older than seals, it was altered."""
    return any(
        value == content_key([name, {other: found[other] for other in found if other != key}])
        for key, value in found.items()
        if isinstance(value, str) and len(value) == SEAL_DIGITS
    )


def _told(error: Exception) -> str:
    return reason(error).splitlines()[0]
