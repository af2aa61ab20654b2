"""Seals: digests inside the JSON files that stages exchange, to detect damage and edits.

The seal is the SHA-256 of the canonical JSON of the file's name and of the object without its key `seal`, which holds
it. It detects a file that was truncated, altered or exchanged after it was written. Against a deliberately renewed seal
there is dvc.lock, which has the digest of every file.

Sealed: index.json of shards and of features, inventory.json, counts.json, staging.json, train.json, the metrics.json of
a run and of the report. Other files have their digest in another file: shards and vectors in their index, logits.json
and logits.safetensors in train.json, predictions.jsonl in its metrics.json, manifest.jsonl in manifest.sha256.
Checkpoints have digests of their own (foalnet.artifact.checkpoint).

Not sealed, because no stage reads them: report.html, report.md, history.csv, card.json, card.md, gate.md and the pages
of `foalnet tune`. gate.json is read from a commit, and git's object name is its digest. Files in work/ are a cache:
a damaged entry is recomputed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from foalnet.core.errors import DataError, reason
from foalnet.core.files import content_key, json_bytes, jsonl_rows, not_read, publish_bytes, sha256_bytes

SEAL = "seal"
SEAL_DIGITS = 64
ALTERED = "was altered after it was written"
T = TypeVar("T")


def sealed_bytes(name: str, facts: Mapping[str, Any]) -> bytes:
    """Encode the content of the file `name` as canonical JSON with its seal; an earlier seal is replaced."""
    bare = {key: value for key, value in facts.items() if key != SEAL}
    return json_bytes({**bare, SEAL: content_key([name, bare])})


def publish_sealed(path: Path, facts: Mapping[str, Any]) -> None:
    """Write an object with its seal to `path`, atomically and durably."""
    publish_bytes(path, sealed_bytes(path.name, facts))


def read_sealed(
    path: Path, *, again: str, corpus: str | None = None, unsealed: list[str] | None = None
) -> dict[str, Any]:
    """Return the object in a sealed JSON file, without its seal.

    `again`: the stage of dvc.yaml that writes the file, such as `manifest@drawn`. Raises DataError (exit 3) if the file
    is absent, not a JSON object, without a seal, altered, or of another corpus than `corpus`; MachineError (exit 4) if
    it cannot be read. If `unsealed` is a list, a file without a seal, which an older version wrote, is accepted and its
    path appended.
    """
    facts = unseal(read_bytes(path, again=again), path, again=again, unsealed=unsealed)
    if corpus is not None and facts.get("corpus", corpus) != corpus:
        raise refused(f"is of corpus '{facts['corpus']}', not of '{corpus}'", path, again=again)
    return facts


def open_sealed(path: Path, kind: type[T], *, again: str, corpus: str | None = None) -> T:
    """Return a sealed JSON file as a `kind`; errors as of `read_sealed`, and DataError (exit 3) for other fields."""
    facts = read_sealed(path, again=again, corpus=corpus)
    return typed(kind, facts, lambda fault: refused(f"cannot be used: {fault}", path, again=again))


def typed(kind: type[T], data: Any, refuse: Callable[[str], DataError], *, strict: bool | None = None) -> T:
    """Return JSON data as a `kind`; raises the error that `refuse` makes of the first fault: "place: what is wrong".

    `strict`: no number for a text and the like; None: as the type itself says.
    """
    try:
        value: T = _adapter(kind).validate_json(json.dumps(data, allow_nan=False), strict=strict)  # type: ignore[arg-type]
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise refuse(": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))) from error
    except ValueError as error:
        raise refuse(reason(error)) from error
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def keyed_rows(kind: type[T], data: bytes, path: Path, *, again: str) -> list[T]:
    """Return the lines of a JSON-lines file as `kind`s; `kind` is a dataclass with a `key`.

    DataError (exit 3) if a line has other keys or types, or if the lines are not sorted by unique `key`.
    """
    names, last = {field.name for field in fields(kind)}, ""  # type: ignore[arg-type]
    rows: list[T] = []
    for number, raw in enumerate(jsonl_rows(data, path), 1):

        def refuse(fault: str, number: int = number) -> DataError:
            return refused(f"cannot be used: line {number}: {fault}", path, again=again)

        if not isinstance(raw, dict) or set(raw) != names:
            raise refuse(f"its keys are not those of {kind.__name__}")
        row = typed(kind, raw, refuse, strict=True)
        key = str(raw["key"])
        if key <= last:
            raise refuse(f"key {key!r} " + ("occurs twice" if key == last else f"does not follow {last!r}"))
        rows.append(row)
        last = key
    return rows


def unseal(data: bytes, path: Path, *, again: str, unsealed: list[str] | None = None) -> dict[str, Any]:
    """Return the object in the bytes of a sealed file, as `read_sealed` does; `path` appears in its errors.

    >>> data = sealed_bytes("counts.json", {"used": 420})
    >>> unseal(data, Path("counts.json"), again="manifest@drawn")
    {'used': 420}
    >>> unseal(data.replace(b"420", b"421"), Path("counts.json"), again="manifest@drawn")
    Traceback (most recent call last):
    foalnet.core.errors.DataError: ...
    """
    try:
        facts = json.loads(data)
        if not isinstance(facts, dict):
            raise refused(f"{ALTERED}: it is not a JSON object", path, again=again)
        seal = facts.pop(SEAL, None)
        if seal is None and unsealed is not None and not _renamed(path.name, facts):
            unsealed.append(path.as_posix())
            return facts
        expected = content_key([path.name, facts])
    except (ValueError, RecursionError) as error:
        raise refused(f"{ALTERED}: it is not valid JSON ({_first_line(error)})", path, again=again) from error
    if seal is None:
        raise refused(f"has no seal: it {ALTERED}, or is of an older version", path, again=again)
    if seal != expected:
        raise refused(f"{ALTERED}: its seal does not match its name and content", path, again=again)
    return facts


def verified_bytes(path: Path, sha256: object, *, by: Path, again: str) -> bytes:
    """Return a file's bytes; raises DataError (exit 3) unless their SHA-256 is `sha256`, which file `by` records."""
    data = read_bytes(path, again=again)
    if sha256_bytes(data) != sha256:
        what = f"{ALTERED}, or {by} was: its SHA-256 is not the one that {by.name} records"
        raise refused(what, path, again=again)
    return data


def read_bytes(path: Path, *, again: str) -> bytes:
    """Return a file's bytes (DataError, exit 3, if it is absent; MachineError, exit 4, if it cannot be read)."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("file not found", file=path, action=f"run `{command(again)}`") from error
    except OSError as error:
        raise not_read(error, path) from error


def refused(what: str, path: Path, *, again: str) -> DataError:
    """Return the error for an invalid file, with the command that writes it again."""
    return DataError(f"{path.name} {what}", file=path, action=f"run `{command(again)}`")


def command(again: str) -> str:
    """Return the command that reruns one stage of dvc.yaml alone."""
    return f"dvc repro --force --single-item {again}"


def _renamed(name: str, facts: Mapping[str, Any]) -> bool:
    """Return whether the seal is stored under another key: then the file was altered and is not of an older version."""
    return any(
        value == content_key([name, {other: facts[other] for other in facts if other != key}])
        for key, value in facts.items()
        if isinstance(value, str) and len(value) == SEAL_DIGITS
    )


def _first_line(error: Exception) -> str:
    return reason(error).splitlines()[0]
