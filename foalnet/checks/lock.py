"""The lock of a corpus: digests of its staged utterances, by which others who hold the corpus compare their shards.

The file may be published. Each of its digests, also an utterance's id, is an HMAC, with the SHA-256 of the utterance's
raw file as its key. Only those who hold the corpus have this key, so no one else can try out guesses: neither of a
name, which often contains speaker and label, nor of silence, an empty picture or a table of few numbers. Metadata and
words have no digest at all. docs/corpora.md says what the file reveals.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from foalnet.artifact.seal import read_bytes, read_sealed, sealed_bytes, typed, unseal
from foalnet.artifact.table import read_manifest
from foalnet.checks.verify.lock import LOCK, PARAMS, load
from foalnet.checks.verify.record import unlike, value_at
from foalnet.config import Params
from foalnet.core.errors import DataError
from foalnet.core.paths import Paths
from foalnet.core.progress import counted
from foalnet.core.records import Utterance
from foalnet.corpora.inventory import checked_inventory
from foalnet.corpora.tables import parse_reference
from foalnet.shards import Sample, open_shards
from foalnet.shards.features import FeatureSet, open_features
from foalnet.shards.format import SOUND, STREAMS, TABLE
from foalnet.stages.link import differences, first_few, shown

SCHEMA: Literal[1] = 1
# The seal covers this name, not that of the file: who downloads a file may rename it.
NAME = "foalnet-lock.json"
# 128 bits: no two utterances have the same digest by chance.
DIGITS = 32
PARTS = {SOUND: "sound", TABLE: "table"}
MISSING, EXTRA = "missing here", "extra here"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """What the file holds: `utterances` are id -> part (sound, face, half, table, features) -> digest.

    `shards`: the params of staging. `tools`: the versions and digests of its code, packages, decoder and detector.
    `features`: the frozen encoder of the pictures' vectors, None without one.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: Literal[1]
    reader: str
    shards: dict[str, Any]
    tools: dict[str, Any]
    features: dict[str, Any] | None
    utterances: dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A corpus on this machine: its lock, and id -> key of every utterance of its manifest.

    `words_only`: the number of staged utterances that have words alone, which no lock holds.
    """

    lock: Lock
    keys: Mapping[str, str]
    words_only: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The result of a check: kind of difference -> utterances (key, else the start of the id), sorted.

    `why`: the params and versions of staging and features that differ, as (dotted name, expected, here).
    """

    utterances: int
    differing: Mapping[str, Sequence[str]]
    why: Sequence[tuple[str, Any, Any]]

    def lines(self, most: int) -> Iterator[str]:
        """Yield a line for each kind of difference, with at most `most` utterances, and one for each reason."""
        for kind, names in self.differing.items():
            yield f"{kind}: {len(names)}: {first_few(names, most)}"
        for difference in self.why:
            yield shown([difference], by="lock", at="here")


def lock_bytes(lock: Lock) -> bytes:
    """Return the bytes of the file; the same shards, params and tools give the same bytes."""
    return sealed_bytes(NAME, asdict(lock))


def read_lock(path: Path) -> Lock:
    """Return the lock in a file of any name; DataError (exit 3) if it is absent, altered or no lock."""

    def refuse(what: str) -> DataError:
        return DataError(what, file=path, action="get the file again from its publisher")

    try:
        facts = unseal(read_bytes(path, again=""), Path(NAME), again="")
    except DataError as error:
        raise refuse(error.what) from error
    return typed(Lock, facts, lambda fault: refuse(f"this is no lock of a corpus, or one of another version: {fault}"))


def lock_of(params: Params, paths: Paths) -> Held:
    """Return the lock of a staged corpus; every byte of its shards is read and checked.

    DataError (exit 3) if shards, manifest, account or features are absent or damaged, if params.yaml has changed since
    the shards were staged, or if the corpus has words alone.
    """
    _same_params(paths)
    shards = open_shards(paths.shards, corpus=params.corpus)
    features = open_features(paths.features, params.features, shards)
    account = read_sealed(paths.staging, again=f"shards@{params.corpus}", corpus=params.corpus)
    secrets = _secrets(params, paths)
    utterances = {}
    with counted("reading the shards", len(shards.keys), "utterances") as one_more:
        for sample in shards.samples():
            secret = secrets.get(sample.key)
            if secret is not None and (parts := dict(_parts(sample, features))):
                utterances[_digest(secret, "key", sample.key.encode())] = {
                    name: _digest(secret, name, data) for name, data in sorted(parts.items())
                }
            one_more()
    if not utterances:
        raise DataError(
            "the samples have neither sound nor picture: a lock holds no digest of words, because words can be guessed",
            file=paths.shards,
            action=f"compare manifests instead: `sha256sum {paths.manifest}`",
        )
    lock = Lock(
        schema=SCHEMA,
        reader=params.reader,
        shards=params.shards.model_dump(mode="json"),
        tools=account["tools"],
        features=None if features is None else {**features.facts, "versions": features.index.versions},
        utterances=utterances,
    )
    keys = {_digest(secret, "key", key.encode()): key for key, secret in secrets.items()}
    return Held(lock=lock, keys=keys, words_only=len(shards.keys) - len(utterances))


def compare(expected: Lock, held: Held) -> Comparison:
    """Compare a published lock with the corpus on this machine."""
    here, differing = held.lock.utterances, dict[str, list[str]]()

    def note(kind: str, identity: str) -> None:
        differing.setdefault(kind, []).append(held.keys.get(identity, f"{identity[:12]}…"))

    for identity, parts in expected.utterances.items():
        if identity not in here:
            note(MISSING, identity)
            continue
        for part in sorted({*parts, *here[identity]}):
            if parts.get(part) != here[identity].get(part):
                note(f"{part} differs", identity)
    for identity in here.keys() - expected.utterances.keys():
        note(EXTRA, identity)
    theirs, ours = (asdict(replace(lock, utterances={})) for lock in (expected, held.lock))
    return Comparison(
        utterances=len(here),
        differing={kind: sorted(names) for kind, names in sorted(differing.items())},
        why=list(differences(theirs, ours)),
    )


def _parts(sample: Sample, features: FeatureSet | None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of a sample's sound, pictures and table, and of a frozen encoder's vectors of pictures."""
    for member, data in sample.members.items():
        if member in PARTS or member.endswith(".mjpg"):
            yield PARTS.get(member, member.partition(".")[0]), data
    if features is not None and features.index.picture in STREAMS:
        rows_FD, mask_F = features.rows(sample)
        yield "features", rows_FD.tobytes() + mask_F.tobytes()


def _secrets(params: Params, paths: Paths) -> dict[str, bytes]:
    """Return key -> digest of the raw file of each utterance: its sound, else its picture or table."""
    utterances = read_manifest(paths.manifest, corpus=params.corpus)
    files = {entry.path: entry.sha256 for entry in checked_inventory(paths.inventory, params).files}
    raw = ((u.key, next((path for path in _raw(u) if path in files), None)) for u in utterances)
    return {key: bytes.fromhex(files[path]) for key, path in raw if path is not None}


def _raw(u: Utterance) -> Iterator[str]:
    """Yield the paths of an utterance's raw files: sound first, which differs least between copies of a corpus."""
    table = None if u.features is None else parse_reference(u.features)[0]
    yield from filter(None, (u.audio, u.dialogue_audio, u.video, table))


def _digest(secret: bytes, part: str, data: bytes) -> str:
    mac = hmac.new(secret, part.encode() + b"\0", "sha256")
    mac.update(data)
    return mac.hexdigest()[:DIGITS]


def _same_params(paths: Paths) -> None:
    """Raise DataError (exit 3) if DVC recorded other params of staging than params.yaml has now."""
    if not (paths.home / LOCK).is_file():
        return
    record = (load(paths.home / LOCK).get("stages") or {}).get(f"shards@{paths.corpus}") or {}
    given = load(paths.home / PARAMS)
    for name, was in (record.get("params") or {}).get(PARAMS, {}).items():
        for where, then, now in unlike(name, was, value_at(given, name)):
            raise DataError(
                f"the shards were staged with {where} {then}, {PARAMS} has {now}",
                file=paths.home / PARAMS,
                action=f"put the value back, or run `dvc repro shards@{paths.corpus}`",
            )
