"""Hostile index, predictions, manifest and inventory, and the invariants of accepted ones."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from foalnet.artifact.seal import sealed_bytes
from foalnet.core.files import json_bytes, jsonl_bytes, sha256_bytes
from tests.fuzz.mutate import bytes_like, either, json_like, mapped
from tests.support.corpus.rows import utterance


def utterances() -> list[Any]:
    """Return four utterances, of two dialogues with two speakers and one with a whole picture."""
    said = [("Ses01F_impro01", "F", "left"), ("Ses01F_impro01", "M", "right"), ("Ses02M_impro01", "M", "left")]
    made = [
        utterance(
            f"{dialogue}_{letter}000", corpus="iemocap", session=f"Session{i + 1}", side=side, start_s=0.5,
            end_s=1.5 + i, label="neutral" if i else None, reason=None if i else "label_not_used", valence=2.5,
            votes=(("E2", ("Neutral", "Anger")),), transcript="Well, então.", audio="a/b.wav", video="a/b.avi",
        )
        for i, (dialogue, letter, side) in enumerate([*said, ("A01", "A", "whole")])
    ]  # fmt: skip
    return sorted(made, key=lambda u: u.key)


def sealed(name: str, facts: Any) -> bytes:
    """Return a JSON file as its writer leaves it, with its seal where it can have one."""
    return sealed_bytes(name, facts) if isinstance(facts, dict) else json_bytes(facts)


def index_facts() -> dict[str, Any]:
    """Return the index of two shards."""
    from foalnet.shards.index import SCHEMA

    entry = {
        "path": "Session1/000000.tar", "session": "Session1", "group": "d1", "sha256": "0" * 64, "size": 10240,
        "count": 2, "keys": ["a_1", "a_2"], "ends": [2048, 4096], "digests": ["0" * 16, "1" * 16],
    }  # fmt: skip
    other = entry | {"path": "Session2/000000.tar", "session": "Session2", "keys": ["b_1", "b_2"]}
    return {"schema": SCHEMA, "corpus": "drawn", "shards": [entry, other]}


def index_twice() -> dict[str, Any]:
    """Return an index that lists a key in two shards."""
    facts = index_facts()
    facts["shards"][1]["keys"] = ["a_2", "b_2"]
    return facts


def check_index(data: bytes, folder: Path) -> None:
    """An index that is accepted can be written, and read again as itself; its paths lie below it."""
    from foalnet.shards.index import INDEX, read_index
    from tests.support.sealing import write_index

    (folder / INDEX).write_bytes(data)
    index = read_index(folder)
    keys = [key for entry in index.shards for key in entry.keys]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[\w-]+/\d{6}\.tar", entry.path, re.ASCII) for entry in index.shards)
    assert all(0 < end < entry.size for entry in index.shards for end in entry.ends)
    write_index(folder, index.corpus, index.shards)
    assert read_index(folder) == index


def lock_facts() -> dict[str, Any]:
    """Return a lock of two utterances."""
    parts = {"sound": "0" * 32, "face": "1" * 32, "half": "2" * 32}
    tools = {"code": "0" * 64, "packages": {"numpy": "2.0"}, "ffmpeg": "0" * 64, "detector": None}
    utterances = {"a" * 32: parts, "b" * 32: {"sound": "3" * 32}}
    return {
        "schema": 1, "reader": "iemocap", "shards": {"margin": 0.25, "sides": "rule"}, "tools": tools, "features": None,
        "utterances": utterances,
    }  # fmt: skip


def check_lock(data: bytes, folder: Path) -> None:
    """A lock that is accepted can be compared with another, and written again as itself."""
    from foalnet.checks.lock import Held, Lock, compare, lock_bytes, read_lock

    path = folder / "theirs.json"
    path.write_bytes(data)
    lock = read_lock(path)
    mine = Held(lock=Lock(**lock_facts()), keys={"a" * 32: "u1"}, words_only=0)
    "\n".join(compare(lock, mine).lines(3)).encode("utf-8")
    path.write_bytes(lock_bytes(lock))
    assert read_lock(path) == lock


def predictions_input() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Draw predictions and metrics with their digest."""
    row = {"fold": "Ses01", "session": "Ses01", "dialogue": "d1", "speaker": "s1", "label": "sad", "predicted": "sad"}
    rows = [{"key": f"u{i}", **row, "probabilities": [0.25, 0.75]} for i in range(3)]
    metrics = {"corpus": "drawn", "variant": "foal", "seed": 1, "protocol": "loso_dev_session", "variants": {}}

    def by(data: bytes) -> dict[str, Any]:
        return metrics | {"predictions": {"rows": data.count(b"\n"), "sha256": sha256_bytes(data)}}

    def vouched(data: bytes) -> tuple[bytes, bytes]:
        return data, sealed("metrics.json", by(data))

    whole = jsonl_bytes(rows)
    content = either(bytes_like([whole]), mapped(json_like([rows]), jsonl_bytes))
    other = mapped(json_like([by(whole)]), partial(sealed, "metrics.json"))
    return either(content.map(vouched), st.tuples(st.just(whole), either(other, bytes_like([vouched(whole)[1]]))))


def check_predictions(data: tuple[bytes, bytes], folder: Path) -> None:
    """Predictions that are accepted name utterances in order, each with finite probabilities."""
    from foalnet.artifact.results import read_results
    from foalnet.core.paths import Paths

    paths = Paths("drawn", folder)
    run = paths.run("foal", 1)
    run.mkdir(parents=True, exist_ok=True)
    (run / "predictions.jsonl").write_bytes(data[0])
    (run / "metrics.json").write_bytes(data[1])
    results = read_results(paths, run)
    assert results is not None and list(results.rows) == sorted(results.rows)
    for key, row in results.rows.items():
        assert row["key"] == key and all(math.isfinite(share) for share in row["probabilities"])
    jsonl_bytes(results.rows.values())


def check_manifest(data: bytes, folder: Path) -> None:
    """A manifest that is accepted can be written again as itself; what is used has a length."""
    from foalnet.artifact.table import read_manifest

    path = folder / "manifest.jsonl"

    def write(text: bytes) -> None:
        path.write_bytes(text)
        path.with_suffix(".sha256").write_text(f"{sha256_bytes(text)}  {path.name}\n")

    write(data)
    utterances = read_manifest(path)
    assert [u.key for u in utterances] == sorted({u.key for u in utterances})
    for u in utterances:
        assert all(x is None or math.isfinite(x) for x in (u.start_s, u.end_s, u.valence, u.activation, u.dominance))
        assert not u.used or 0 <= u.start_s < u.end_s
    write(jsonl_bytes(asdict(u) for u in utterances))
    assert read_manifest(path) == utterances


def inventory_facts() -> dict[str, Any]:
    """Return an inventory of two files."""
    files = [{"path": f"Session1/{name}.wav", "size": 44, "sha256": "0" * 64, "role": "audio"} for name in ("a", "b")]
    return {"corpus": "drawn", "reader": "iemocap", "files": files, "ignored": {"other": 0, "shadow": 2}}


def check_inventory(data: bytes, folder: Path) -> None:
    """An inventory that is accepted can be written again as itself."""
    from foalnet.corpora.inventory import read_inventory

    path = folder / "inventory.json"
    path.write_bytes(data)
    record = read_inventory(path)
    path.write_bytes(sealed(path.name, asdict(record)))
    assert read_inventory(path) == record


def json_input(name: str, *facts: Callable[[], Any]) -> Callable[[], st.SearchStrategy[bytes]]:
    """Return the strategy of a JSON file, sealed or not, that holds something like one of the facts."""

    def drawn() -> st.SearchStrategy[bytes]:
        seeds = [make() for make in facts]
        plain = mapped(json_like(seeds), lambda value: json.dumps(value).encode())
        write = partial(sealed, name)
        return either(mapped(json_like(seeds), write), plain, bytes_like([write(each) for each in seeds]))

    return drawn


def manifest_input() -> st.SearchStrategy[bytes]:
    """Draw a manifest: of four utterances, or the same with one that never ends."""
    rows = [asdict(u) for u in utterances()]
    endless = [*rows[:-1], rows[-1] | {"end_s": math.inf}]
    plain = mapped(json_like([rows, endless]), lambda value: "".join(json.dumps(row) + "\n" for row in value).encode())
    return either(mapped(json_like([rows]), jsonl_bytes), plain, bytes_like([jsonl_bytes(rows)]))
