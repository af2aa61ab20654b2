"""The utterance table as a file: manifest.jsonl, read by every stage behind `manifest` and checked at the door.

Beside it lies its SHA-256 in the format of sha256sum, so that `sha256sum -c manifest.sha256` checks it too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from foalnet.artifact.seal import ALTERED, held_bytes, read_bytes, refused
from foalnet.core.files import jsonl_bytes, jsonl_rows, sha256_bytes
from foalnet.core.records import Utterance

KEY = re.compile(r"[A-Za-z0-9_-]+")
DIGEST = re.compile(r"([0-9a-f]{64})  (.+)\n")


def digest_file(path: Path) -> Path:
    """Return where the digest of a manifest lies: manifest.sha256 beside manifest.jsonl."""
    return path.with_suffix(".sha256")


def manifest_files(path: Path, utterances: Iterable[Utterance]) -> dict[Path, bytes]:
    """Return the bytes of the table and, last, of its digest: what is published together."""
    data = jsonl_bytes(asdict(u) for u in utterances)
    return {path: data, digest_file(path): _vouched(path, sha256_bytes(data))}


def _vouched(path: Path, sha256: str) -> bytes:
    return f"{sha256}  {path.name}\n".encode()


def read_manifest(path: Path, *, corpus: str | None = None, stage: str | None = None) -> list[Utterance]:
    """Return the utterances of a manifest, sorted by key as written.

    DataError (exit 3) where its digest is absent or another, where it is of another corpus than `corpus` (None: of
    several), and names the line that is no utterance, has neither class nor reason (or both), is out of order or
    stands twice.
    """
    again = f"manifest@{corpus or 'CORPUS'}"
    adapter, names = TypeAdapter(Utterance), {field.name for field in fields(Utterance)}
    utterances: list[Utterance] = []
    for number, row in enumerate(jsonl_rows(_held(path, again, stage), path, stage=stage), 1):
        fault = None if isinstance(row, dict) and set(row) == names else "its keys are not those of an utterance"
        try:
            utterance = None if fault else adapter.validate_python(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            fault = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
        if fault is None and utterance is not None:
            fault = _fault(utterance, utterances[-1].key if utterances else "")
            corpus = corpus or utterance.corpus
            if utterance.corpus != corpus:
                fault = f"{utterance.key} is of corpus '{utterance.corpus}', not of '{corpus}'"
        if fault is not None or utterance is None:
            raise refused(f"cannot be used: line {number}: {fault}", path, again=again, stage=stage)
        utterances.append(utterance)
    return utterances


def _held(path: Path, again: str, stage: str | None) -> bytes:
    """Return a manifest's bytes, held to the digest beside it."""
    beside = digest_file(path)
    # The table first: where both are absent, its own name says more.
    read_bytes(path, again=again, stage=stage)
    found = DIGEST.fullmatch(read_bytes(beside, again=again, stage=stage).decode("utf-8", "replace"))
    if found is None or found[2] != path.name:
        raise refused(f"{ALTERED}: it is no digest of {path.name}", beside, again=again, stage=stage)
    return held_bytes(path, found[1], by=beside, again=again, stage=stage)


def _fault(utterance: Utterance, before: str) -> str | None:
    if not KEY.fullmatch(utterance.key):
        return f"key {utterance.key!r} holds other characters than A-Z a-z 0-9 _ -"
    if utterance.key <= before:
        return f"key {utterance.key!r} stands twice or out of order"
    if (utterance.label is None) == (utterance.reason is None):
        return f"{utterance.key} needs either a class or a reason why it has none"
    numbers = (utterance.start_s, utterance.end_s, utterance.valence, utterance.activation, utterance.dominance)
    if not all(number is None or math.isfinite(number) for number in numbers):
        return f"{utterance.key} has a number that is not finite"
    if utterance.used and not 0 <= utterance.start_s < utterance.end_s:
        return f"{utterance.key} has no length: {utterance.start_s} s to {utterance.end_s} s"
    return None
