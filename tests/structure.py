"""What the structure tests share: the floors of the house, and imports read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "foalnet"

# Whole numbers are floors; a fraction orders rooms within one (a room may import from a smaller number only).
FLOORS = {
    "errors": 0.0, "discreet": 0.0, "records": 0.1, "paths": 0.1, "processor": 0.1, "shim": 0.1, "kin": 0.1,
    "config": 0.2, "labels": 0.2, "markdown": 0.1,
    "faults": 0.9, "temporaries": 0.9, "files": 1.0, "seal": 1.05, "gitrepo": 1.1,
    "dvcrepo": 1.1, "dvcfiles": 1.15, "table": 1.1, "results": 1.1, "ledger": 1.1,
    "locks": 1.1, "progress": 0.1, "splits": 1.1, "provenance": 1.1, "speeds": 1.1,
    "media": 2.0, "shards": 2.0, "weights": 2.0,
    "corpora": 3.0, "faces": 3.0,
    "nets": 4.0, "losses": 4.1, "inventory": 4.0, "manifest": 4.1, "clips": 4.2,
    "features": 4.9, "batches": 5.0, "checkpoint": 5.0, "metrics": 5.0,
    "stats": 6.0, "champion": 6.0, "gate": 6.1, "train": 6.1, "evaluate": 6.1, "report": 6.2, "final": 6.2,
    "scoring": 6.1, "sheet": 6.3, "authors": 6.3,
    "predict": 6.3, "forecast": 6.3, "tune": 6.35, "sweep": 6.4, "verify": 6.4, "cache": 6.5, "doctor": 6.6,
    "cli": 7.0,
}  # fmt: skip


def floor_of(dotted: str) -> float:
    """Return the floor of a module, or of the module that holds a name: its own where it has one, else its room's."""
    room, part = [*dotted.split("."), ""][1:3]
    return FLOORS.get(f"{room}.{part}", FLOORS[room])


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


# Code that cannot change a byte of an output: it checks, names or guards. Every value of config's blocks is spelled in
# params.yaml (a test), so a changed default is a changed param.
WITHOUT_RESULT = {
    "config",
    "errors",
    "locks",
    "temporaries",
    "paths",
    "cli",
    "provenance",
    "dvcrepo",
    "dvcfiles",
    "faults",
    "progress",
    "speeds",
}

# What each verb of the CLI imports.
VERBS = {
    "draw": ["foalnet.corpora.drawn"],
    "inventory": ["foalnet.inventory"],
    "manifest": ["foalnet.manifest"],
    "shards": ["foalnet.clips", "foalnet.inventory"],
    "features": ["foalnet.features.stage"],
    "train": ["foalnet.train"],
    "evaluate": ["foalnet.evaluate"],
    "final": ["foalnet.final"],
    "report": ["foalnet.report", "foalnet.corpora.drawn.rule"],
}


def source_of(dotted: str) -> Path | None:
    """Return the file of a module, or of the module that holds a name; None for the bare package."""
    parts = dotted.split(".")
    while len(parts) > 1:
        base = REPOSITORY.joinpath(*parts)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
        parts.pop()
    return None


def import_closure(dotted: str) -> set[Path]:
    """Return every file of the package that a module's import graph reaches, the packages' own __init__ too."""
    start = source_of(dotted)
    assert start is not None, dotted
    todo, seen = [start], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        found = [source_of(name) for name in package_imports(path)]
        todo += [p for p in found if p is not None]
        parent = path.parent / "__init__.py"
        if parent.is_file() and parent.parent != PACKAGE:
            todo.append(parent)
    return seen


def code_deps(stage: str) -> list[str]:
    """Return what dvc.yaml must list for a stage: whole folders where every file is reached, else files."""
    files = {
        p
        for entry in VERBS[stage]
        for p in import_closure(entry)
        if p.relative_to(PACKAGE).parts[0].removesuffix(".py") not in WITHOUT_RESULT
    }
    if stage == "report":
        files |= set((PACKAGE / "report" / "templates").glob("*"))
    whole = {
        folder
        for folder in {q for p in files for q in p.parents if PACKAGE in q.parents}
        if all(
            p in files
            for p in folder.rglob("*")
            if p.is_file() and "__pycache__" not in p.parts and p.name != "__main__.py"
        )
    }
    covered = [p for p in files | whole if not any(q in whole for q in p.parents)]
    return sorted(p.relative_to(REPOSITORY).as_posix() for p in covered)
