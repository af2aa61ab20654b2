"""What the structure tests share: the floors of the house, and imports read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from foalnet.corpora import READERS

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

# What each verb of the CLI imports. Readers are imported by name.
READER_MODULES = tuple(f"foalnet.corpora.{name}" for name in READERS)
VERBS = {
    "draw": ("foalnet.corpora.drawn.write",),
    "inventory": ("foalnet.inventory", *READER_MODULES),
    "manifest": ("foalnet.manifest", *READER_MODULES),
    "shards": ("foalnet.clips", "foalnet.inventory", *READER_MODULES),
    "features": ("foalnet.features.stage",),
    "train": ("foalnet.train",),
    "evaluate": ("foalnet.evaluate",),
    "final": ("foalnet.final",),
    "report": ("foalnet.report", "foalnet.corpora.drawn.plan", "foalnet.corpora.drawn.rule"),
}
# The folder of a corpus' own reader, in dvc.yaml.
OWN_READER = "foalnet/corpora/${item.reader}"


@cache
def facade(path: Path) -> dict[str, str] | None:
    """Return name -> module that holds it, of a package's __init__ that has imports alone; None of any other file.

    Such a file changes no result: who imports a name from it depends on the module that holds it.
    """
    if path.name != "__init__.py":
        return None
    names: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            continue
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return None
    return names


def source_of(dotted: str) -> Path | None:
    """Return the file of a module, or of the module that holds a name; None for the bare package."""
    parts = dotted.split(".")
    while len(parts) > 1:
        base = REPOSITORY.joinpath(*parts)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                rest = dotted.split(".")[len(parts) :]
                held = (facade(path) or {}).get(rest[0]) if rest else None
                return path if held is None else source_of(held)
        parts.pop()
    return None


def package_names(path: Path) -> Iterator[str]:
    """Yield what a file imports of the package; of a package that is imported whole, the names that it uses."""
    tree = ast.parse(path.read_text())
    whole: dict[str, str] = {}
    for dotted in package_imports(path):
        source = source_of(dotted)
        if source is not None and facade(source) and source.parent == REPOSITORY.joinpath(*dotted.split(".")):
            whole[dotted.rpartition(".")[2]] = dotted
        yield dotted
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            yield f"{whole[node.value.id]}.{node.attr}"


def import_closure(dotted: str) -> set[Path]:
    """Return every file of the package that a module's import graph reaches; facades are seen through."""
    start = source_of(dotted)
    assert start is not None, dotted
    todo = [start]
    # A stage's own package stands for all that it exports.
    todo += [path for name in (facade(start) or {}).values() if (path := source_of(name)) is not None]
    seen = set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        if path != start and facade(path) is not None:
            continue
        found = [source_of(name) for name in package_names(path)]
        todo += [p for p in found if p is not None]
        parent = path.parent / "__init__.py"
        if parent.is_file() and parent.parent != PACKAGE and facade(parent) is None:
            todo.append(parent)
    return seen


def code_deps(stage: str) -> list[str]:
    """Return what dvc.yaml lists for a stage: whole folders where every file is reached, else files.

    Of readers the corpus' own alone; neither the registry of readers, which only names them, nor any facade.
    """
    files = {
        p
        for entry in VERBS[stage]
        for p in import_closure(entry)
        if p.relative_to(PACKAGE).parts[0].removesuffix(".py") not in WITHOUT_RESULT and facade(p) is None
    }
    files.discard(PACKAGE / "corpora" / "__init__.py")
    own = {PACKAGE / "corpora" / name for name in READERS}
    reads = any(own & set(p.parents) for p in files)
    files = {p for p in files if not own & set(p.parents)}
    if stage == "report":
        files |= set((PACKAGE / "report" / "templates").glob("*"))
    whole = {
        folder
        for folder in {q for p in files for q in p.parents if PACKAGE in q.parents}
        if all(
            p in files or facade(p) is not None
            for p in folder.rglob("*")
            if p.is_file() and "__pycache__" not in p.parts and p.name != "__main__.py"
        )
    }
    covered = [p for p in files | whole if not any(q in whole for q in p.parents)]
    return sorted(p.relative_to(REPOSITORY).as_posix() for p in covered) + [OWN_READER] * reads
