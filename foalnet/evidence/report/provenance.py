"""Section on the origin of the figures: digests and versions, without times, hosts or commits that alter the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.artifact.provenance import code_digest
from foalnet.core.files import content_key, sha256_bytes, sha256_file
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import listed, number
from foalnet.evidence.report.view import Block, Cell, Paragraph, Section, Table, cells

# Modules whose code can change a byte of the report: the stage's dependencies in dvc.yaml.
CODE = (
    "artifact/results",
    "artifact/seal",
    "artifact/table",
    "core/files",
    "core/ledger",
    "core/markdown",
    "core/records",
    "evidence/metrics",
    "evidence/report",
    "evidence/stats",
)
TEMPLATES = Path(__file__).parent / "templates"
SHORT = 16


def report_digest() -> str:
    """Return one SHA-256 over the sources and templates of the report."""
    templates = [f"{path.name} {sha256_file(path)}" for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return sha256_bytes("\n".join([code_digest(CODE), *templates]).encode())


def provenance(facts: Facts) -> Section:
    """Return digests of inputs, params and code, and the software and hardware of training."""
    rows: list[tuple[Cell, ...]] = []
    if facts.inventory is not None:
        files = facts.inventory.get("files", [])
        size = sum(file["size"] for file in files)
        rows.append(cells(["Corpus files", f"{number(len(files))} files, {number(size)} bytes"]))
        rows.append(cells(["Digest of the inventory", content_key(facts.inventory)[:SHORT]]))
    if facts.manifest:
        rows.append(cells(["Digest of the manifest", content_key(list(facts.manifest))[:SHORT]]))
    rows.append(
        cells(["Digest of the report's params", content_key(facts.params.report.model_dump(mode="json"))[:SHORT]])
    )
    rows.append(cells(["Digest of the report's code", report_digest()[:SHORT]]))
    rows += [cells(row) for row in (*_staging(facts), *_training(facts))]
    blocks: list[Block] = [
        Paragraph(
            text=(
                "The same inputs give the same bytes of this page. It therefore names no time, no host and no git "
                "commit, but digests of content: the same digest means the same bytes. Digests are SHA-256, the first "
                f"{SHORT} digits. Weights and predictions are equal where packages, device, threads and instructions "
                "are equal (AVX2: on every x86-64 processor that has it); then only the line that names the processor "
                "differs."
            )
        ),
        Table(caption="Inputs, params and code.", head=("What", "Value"), rows=tuple(rows), labels=2),
    ]
    packages = _versions(facts)
    if packages:
        caption = "Versions of the packages that trained and scored."
        blocks.append(Table(caption=caption, head=("Package", "Version"), rows=tuple(map(cells, packages)), labels=2))
    return Section(name="provenance", title="Origin of the figures", blocks=tuple(blocks))


def _staging(facts: Facts) -> list[tuple[str, str]]:
    """Return the digests of the tools that made the shards."""
    tools = (facts.staging or {}).get("tools", {})
    detector = tools.get("detector") or {}
    rows = [
        ("Digest of the staging code", tools.get("code")),
        ("Digest of ffmpeg", tools.get("ffmpeg")),
        (f"Digest of the detector “{detector.get('name')}”", detector.get("digest")),
        *((f"Weight file {name}", digest) for name, digest in sorted((detector.get("weights") or {}).items())),
    ]
    return [(title, _text(value)) for title, value in rows if value]


def _runs(facts: Facts) -> list[Mapping[str, Any]]:
    every = (facts.runs, *facts.other_protocols.values())
    return [run.metrics["train"] for runs in every for group in runs.values() for run in group]


def _training(facts: Facts) -> list[tuple[str, str]]:
    """Return the runs' training settings; where runs differ, every value is listed."""
    named = {
        "code": "Digest of the training code",
        "params": "Digest of the training params",
        "determinism": "Determinism of training",
        "device": "Device of training",
        "threads": "Threads of training",
        "processor": "Processor of training",
        "instructions": "Instructions of training",
    }
    rows = []
    for key, title in named.items():
        values = sorted({_text(train[key]) for train in _runs(facts) if key in train})
        if values:
            rows.append((title, listed(values)))
    return rows


def _text(value: Any) -> str:
    """Return a digest shortened, anything else as it is."""
    text = str(value)
    return text[:SHORT] if len(text) == 64 else text


def _versions(facts: Facts) -> list[tuple[str, str]]:
    by_package: dict[str, set[str]] = {}
    for train in _runs(facts):
        for name, version in train.get("versions", {}).items():
            by_package.setdefault(name, set()).add(str(version))
    return [(name, listed(sorted(values))) for name, values in sorted(by_package.items())]
