"""Reads and writes manifest.jsonl, the table of utterances, and validates every row when a stage reads it.

manifest.sha256 in the same folder has its SHA-256 in the format of sha256sum: `sha256sum -c manifest.sha256`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from foalnet.artifact.seal import ALTERED, keyed_rows, read_bytes, refused, verified_bytes
from foalnet.core.files import jsonl_bytes, sha256_bytes
from foalnet.core.records import Utterance

KEY = re.compile(r"[A-Za-z0-9_-]+")
DIGEST = re.compile(r"([0-9a-f]{64})  (.+)\n")


def digest_file(path: Path) -> Path:
    """Return the path of a manifest's digest: manifest.sha256 in the folder of manifest.jsonl."""
    return path.with_suffix(".sha256")


def manifest_files(path: Path, utterances: Iterable[Utterance]) -> dict[Path, bytes]:
    """Return path -> bytes of the table and, last, of its digest, to be published together."""
    data = jsonl_bytes(asdict(u) for u in utterances)
    return {path: data, digest_file(path): _digest_line(path, sha256_bytes(data))}


def _digest_line(path: Path, sha256: str) -> bytes:
    return f"{sha256}  {path.name}\n".encode()


def read_manifest(path: Path, *, corpus: str | None = None) -> list[Utterance]:
    """Return the utterances of a manifest, sorted by key.

    Raises DataError (exit 3) if its digest is absent or does not match, or if a line is not a valid utterance of
    `corpus` (None: of the first line's corpus), has neither class nor reason or both, or is not sorted by unique key.

    >>> first = read_manifest(Path("data/drawn/manifest.jsonl"))[0]
    >>> first.session, first.speaker, first.used
    ('Session1', 'Ses01F', True)
    """
    again = f"manifest@{corpus or 'CORPUS'}"
    utterances = keyed_rows(Utterance, _verified_bytes(path, again), path, again=again)
    for number, utterance in enumerate(utterances, 1):
        corpus = corpus or utterance.corpus
        if fault := _fault(utterance, corpus):
            raise refused(f"cannot be used: line {number}: {fault}", path, again=again)
    return utterances


def _verified_bytes(path: Path, again: str) -> bytes:
    """Return a manifest's bytes after a check of its digest."""
    digest_path = digest_file(path)
    # The table is read first: if both files are absent, the error should name the table.
    read_bytes(path, again=again)
    match = DIGEST.fullmatch(read_bytes(digest_path, again=again).decode("utf-8", "replace"))
    if match is None or match[2] != path.name:
        raise refused(f"{ALTERED}: it is not a digest of {path.name}", digest_path, again=again)
    return verified_bytes(path, match[1], by=digest_path, again=again)


def _fault(utterance: Utterance, corpus: str) -> str | None:
    if not KEY.fullmatch(utterance.key):
        return f"key {utterance.key!r} has characters other than A-Z a-z 0-9 _ -"
    if utterance.corpus != corpus:
        return f"{utterance.key} is of corpus '{utterance.corpus}', not of '{corpus}'"
    if (utterance.label is None) == (utterance.reason is None):
        return f"{utterance.key} needs either a class or a reason why it has none"
    numbers = (utterance.start_s, utterance.end_s, utterance.valence, utterance.activation, utterance.dominance)
    if not all(number is None or math.isfinite(number) for number in numbers):
        return f"{utterance.key} has a number that is not finite"
    if utterance.used and not 0 <= utterance.start_s < utterance.end_s:
        return f"{utterance.key} has no length: {utterance.start_s} s to {utterance.end_s} s"
    return None
