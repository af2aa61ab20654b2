"""What the structure tests share: the floors of DESIGN, and imports read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "foalnet"

# Whole numbers are DESIGN's floors; a fraction orders rooms within one (a room may import from a smaller number only).
FLOORS = {
    "errors": 0.0, "records": 0.1, "paths": 0.1, "shim": 0.1, "config": 0.2, "labels": 0.2,
    "files": 1.0, "ledger": 1.1, "splits": 1.1, "provenance": 1.1,
    "media": 2.0, "shards": 2.0,
    "corpora": 3.0, "faces": 3.0,
    "inventory": 4.0, "nets": 4.0, "manifest": 4.1, "losses": 4.1, "clips": 4.2,
    "batches": 5.0, "checkpoint": 5.0, "metrics": 5.0,
    "stats": 6.0, "train": 6.1, "evaluate": 6.1, "report": 6.2,
    "cli": 7.0,
}  # fmt: skip


def module_of(path: Path) -> str:
    """Return the dotted name of a source file."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_imports(path: Path) -> Iterator[str]:
    """Yield every module of the package that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "foalnet")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "foalnet":
            assert node.module is not None
            for alias in node.names:
                yield from (f"{node.module}.{alias.name}",)
