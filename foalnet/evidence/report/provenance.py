"""Where the figures come from: digests, versions, seeds. No time, host or commit: those would change equal reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.artifact.provenance import code_digest
from foalnet.core.files import content_key, sha256_bytes, sha256_file
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.view import Block, Cell, Paragraph, Section, Table, cells
from foalnet.evidence.report.words import listed, number

# The modules whose code can change a byte of the report: those that dvc.yaml names as dependencies of the stage.
CODE = (
    "artifact/results",
    "artifact/seal",
    "artifact/table",
    "core/files",
    "core/ledger",
    "core/markdown",
    "core/records",
    "drawn/deal",
    "drawn/plan",
    "drawn/rule",
    "evidence/metrics",
    "evidence/report",
    "evidence/stats",
)
TEMPLATES = Path(__file__).parent / "templates"
SHORT = 16


def report_digest() -> str:
    """Return one SHA-256 over the sources and templates that write the report."""
    templates = [f"{path.name} {sha256_file(path)}" for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return sha256_bytes("\n".join([code_digest(CODE), *templates]).encode())


def provenance(facts: Facts) -> Section:
    """Return digests of inputs, params and code, and what the runs were trained with."""
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
                "Equal inputs give equal bytes of this page. It therefore names no time, no host and no git "
                "commit (a commit that changes only a text would change it), but digests of content: the same digest "
                f"means the same bytes. Digests are SHA-256, the first {SHORT} digits. Weights and predictions agree "
                "where packages, device, threads and instructions do (AVX2: on every x86-64 processor that has it); "
                "the line that names the kind of processor is then all that differs."
            )
        ),
        Table(caption="Inputs, params and code.", head=("What", "Value"), rows=tuple(rows), labels=2),
    ]
    packages = _versions(facts)
    if packages:
        caption = "Versions of the packages that trained and scored."
        blocks.append(Table(caption=caption, head=("Package", "Version"), rows=tuple(map(cells, packages)), labels=2))
    return Section(name="provenance", title="Where the figures come from", blocks=tuple(blocks))


def _staging(facts: Facts) -> list[tuple[str, str]]:
    """Return the digests of what made the shards."""
    tools = (facts.staging or {}).get("tools", {})
    detector = tools.get("detector") or {}
    found = [
        ("Digest of the staging code", tools.get("code")),
        ("Digest of ffmpeg", tools.get("ffmpeg")),
        (f"Digest of the detector “{detector.get('name')}”", detector.get("digest")),
        *((f"Weight file {name}", digest) for name, digest in sorted((detector.get("weights") or {}).items())),
    ]
    return [(title, _text(value)) for title, value in found if value]


def _runs(facts: Facts) -> list[Mapping[str, Any]]:
    every = (facts.runs, *facts.beside.values())
    return [run.metrics["train"] for runs in every for group in runs.values() for run in group]


def _training(facts: Facts) -> list[tuple[str, str]]:
    """Return what all runs say of how they were trained; where they differ, every value is named."""
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
    """Shorten a digest, show anything else as it is."""
    text = str(value)
    return text[:SHORT] if len(text) == 64 else text


def _versions(facts: Facts) -> list[tuple[str, str]]:
    found: dict[str, set[str]] = {}
    for train in _runs(facts):
        for name, version in train.get("versions", {}).items():
            found.setdefault(name, set()).add(str(version))
    return [(name, listed(sorted(values))) for name, values in sorted(found.items())]
