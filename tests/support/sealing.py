"""Changes to sealed files that their seals vouch for: what a stage of today would have written, not damage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import SEAL, publish_sealed
from foalnet.artifact.table import digest_file, manifest_files
from foalnet.core.files import publish_bytes, read_jsonl, sha256_file
from foalnet.core.records import Utterance
from foalnet.shards import INDEX, ShardEntry, index_bytes


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file in place, or put what `change` returns into it, and seal it again."""
    facts = json.loads(path.read_bytes())
    facts.pop(SEAL, None)
    changed = change(facts)
    publish_sealed(path, changed if isinstance(changed, dict) else facts)


def revouch_model(model: Path) -> None:
    """Write the digests of a run's logits and answers to own tasks, as they are now, into its train.json."""
    names = ("logits.json", "logits.safetensors", "own_tasks.safetensors")
    digests = {name: sha256_file(model / name) for name in names if (model / name).exists()}
    reseal(model / "train.json", lambda facts: facts | {"files": facts.get("files", {}) | digests})


def revouch_run(folder: Path) -> None:
    """Let a run's metrics.json vouch for the predictions that are there now."""
    path = folder / "predictions.jsonl"
    held = {"rows": len(read_jsonl(path)), "sha256": sha256_file(path)}
    reseal(folder / "metrics.json", lambda facts: facts | {"predictions": held})


def write_index(folder: Path, corpus: str, entries: Iterable[ShardEntry]) -> None:
    """Write the index of shards."""
    publish_bytes(folder / INDEX, index_bytes(folder, corpus, entries))


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest and its digest."""
    for file, data in manifest_files(path, utterances).items():
        publish_bytes(file, data)


def vouch(manifest: Path) -> None:
    """Write the digest of a manifest as it is."""
    publish_bytes(digest_file(manifest), f"{sha256_file(manifest)}  {manifest.name}\n".encode())
