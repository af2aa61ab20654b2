"""Remembers the lengths of a corpus' clips by their digests, because measuring thousands of videos takes minutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.corpora.base import MEASURE, measured_s

STAGE = "manifest"


@contextmanager
def remembered_lengths(settings: Settings, corpus: str, root: Path, digests: Mapping[str, str]) -> Iterator[None]:
    """Let `clip_length_s` measure each file of the inventory once; `digests`: relative path -> SHA-256.

    The lengths are in `inventory/<corpus>-lengths.json` of the work folder; its loss, another code of the room media
    and another PyAV cost only time.
    """
    file = settings.work / "inventory" / f"{corpus}-lengths.json"
    by = {"code": code_digest(("media",)), "av": metadata.version("av")}
    known = _load(file, by)
    used: dict[str, float] = {}
    digest_of = {root / path: digest for path, digest in digests.items()}

    def measure(path: Path) -> float | None:
        digest = digest_of.get(path, "")
        length_s = used.get(digest, known.get(digest))
        if length_s is None:
            length_s = measured_s(path)
        if digest and length_s is not None:
            used[digest] = length_s
        return length_s

    token = MEASURE.set(measure)
    try:
        yield
    finally:
        MEASURE.reset(token)
        # After an interrupt, what was measured so far is kept.
        if used.items() - known.items():
            present = set(digests.values())
            kept = {digest: length_s for digest, length_s in (known | used).items() if digest in present}
            publish_sealed(file, by | {"lengths_s": kept})


def _load(file: Path, by: Mapping[str, str]) -> dict[str, float]:
    """Return digest -> length in seconds; {} without a file by the same code and PyAV."""
    try:
        stored = read_sealed(file, again=STAGE) if file.exists() else {}
    except DataError:
        return {}
    if any(stored.get(name) != value for name, value in by.items()):
        return {}
    return {str(digest): float(length_s) for digest, length_s in stored["lengths_s"].items()}
