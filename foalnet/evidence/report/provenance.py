"""Computes the origin of the figures: digests and versions, without times, hosts or commits that alter the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from foalnet.artifact.provenance import code_digest
from foalnet.core.files import content_key, sha256_bytes, sha256_file
from foalnet.evidence.report.accounts import Detector, Tools
from foalnet.evidence.report.phrases import listed, number
from foalnet.evidence.report.results import Results

# Modules whose code can change a byte of the report: the stage's dependencies in dvc.yaml.
CODE = (
    "artifact/gitrepo",
    "artifact/results",
    "artifact/seal",
    "artifact/table",
    "core/files",
    "core/ledger",
    "core/markdown",
    "core/records",
    "core/spreadsheets",
    "evidence/crossed",
    "evidence/metrics",
    "evidence/own_tasks",
    "evidence/report",
    "evidence/stats",
)
TEMPLATES = Path(__file__).parent / "templates"
SHORT = 16
# Fields of `Training`, by title; where runs differ, every value is listed.
TRAINING = {
    "code": "Digest of the training code",
    "params": "Digest of the training params",
    "determinism": "Determinism of training",
    "device": "Device of training",
    "threads": "Threads of training",
    "processor": "Processor of training",
    "instructions": "Instructions of training",
}


def report_digest() -> str:
    """Return one SHA-256 over the sources and templates of the report."""
    templates = [f"{path.name} {sha256_file(path)}" for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return sha256_bytes("\n".join([code_digest(CODE), *templates]).encode())


def origins(results: Results) -> Iterator[tuple[str, str]]:
    """Yield digests of inputs, params and code, and the software and hardware of training."""
    if results.inventory is not None:
        files = results.inventory.files
        size = sum(file.size for file in files)
        yield "Corpus files", f"{number(len(files))} files, {number(size)} bytes"
        yield "Digest of the inventory", results.inventory.digest[:SHORT]
    if results.manifest:
        yield "Digest of the manifest", content_key([asdict(u) for u in results.manifest])[:SHORT]
    yield "Digest of the report's params", content_key(results.params.report.model_dump(mode="json"))[:SHORT]
    yield "Digest of the report's code", report_digest()[:SHORT]
    if results.staging is not None:
        yield from _staging(results.staging.tools)
    if results.named is not None:
        yield f"Digest of the split {results.named.name}", results.named.digest[:SHORT]
    for key, title in TRAINING.items():
        if values := trained_by(results, key):
            yield title, listed(values)


def trained_by(results: Results, key: str) -> list[str]:
    """Return what the trainings recorded under a key of `TRAINING`, every value once."""
    return sorted(map(_text, {getattr(run.facts.train, key) for run in results.every_run} - {None}))


def _staging(tools: Tools) -> Iterator[tuple[str, str]]:
    """Yield the digests of the tools that made the shards."""
    detector = tools.detector or Detector()
    rows = {
        "Digest of the staging code": tools.code,
        "Digest of ffmpeg": tools.ffmpeg,
        f"Digest of the detector “{detector.name}”": detector.digest,
        **{f"Weight file {name}": digest for name, digest in sorted((detector.weights or {}).items())},
    }
    yield from ((title, _text(value)) for title, value in rows.items() if value)


def _text(value: object) -> str:
    """Return a digest shortened, anything else as it is."""
    text = str(value)
    return text[:SHORT] if len(text) == 64 else text


def versions(results: Results) -> list[tuple[str, str]]:
    """Return the versions of each package that trained or scored."""
    by_package: dict[str, set[str]] = {}
    for run in results.every_run:
        for name, version in run.facts.train.versions.items():
            by_package.setdefault(name, set()).add(version)
    return [(name, listed(sorted(values))) for name, values in sorted(by_package.items())]
