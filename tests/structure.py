"""What the structure tests share: the floors of the house, and imports read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from foalnet.corpora import READERS
from foalnet.methods import METHODS
from foalnet.stages.table import BY_NAME

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "foalnet"

# A room may import from lower floors alone; rooms on one floor know nothing of each other.
FLOORS = {
    "core": 0,
    "config": 1,
    "artifact": 2, "drawn": 2, "media": 2, "encoders": 2,
    "corpora": 3, "faces": 3, "shards": 3, "nets": 3, "evidence": 3,
    "clips": 4, "export": 4, "methods": 4, "sheet": 4,
    "train": 5,
    "stages": 6,
    "audit": 7, "authors": 7, "checks": 7, "predict": 7, "probe": 7, "study": 7, "tune": 7,
    "cli": 8,
}  # fmt: skip


def floor_of(dotted: str) -> int:
    """Return the floor of a module, or of the module that holds a name."""
    return FLOORS[dotted.split(".")[1]]


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
    "config", "cli", "core/errors", "core/faults", "core/locks", "core/paths", "core/progress", "core/temporaries",
    "artifact/digests", "artifact/dvcfiles", "artifact/dvcrepo", "artifact/provenance", "artifact/speeds",
}  # fmt: skip

# The folder of a corpus' own reader, in dvc.yaml.
OWN_READER = "foalnet/corpora/${item.reader}"
# The file of a run's own method, in dvc.yaml.
OWN_METHOD = "foalnet/methods/${item.method}.py"
# Stages with a verb of their own, which may build the networks of any method.
OF_ANY_METHOD = ("study", "probe")
# They name readers and methods, and those of a corpus and a run are params: one more line in them changes no result.
REGISTRY = PACKAGE / "corpora" / "__init__.py"
METHOD_REGISTRY = PACKAGE / "methods" / "registry.py"


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


@cache
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


@cache
def package_names(path: Path) -> tuple[str, ...]:
    """Return what a file imports of the package; of a package that is imported whole, the names that it uses."""
    whole: dict[str, str] = {}
    names = list(package_imports(path))
    for dotted in names:
        source = source_of(dotted)
        if source is not None and facade(source) and source.parent == REPOSITORY.joinpath(*dotted.split(".")):
            whole[dotted.rpartition(".")[2]] = dotted
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            names.append(f"{whole[node.value.id]}.{node.attr}")
    return tuple(names)


def is_face(path: Path) -> bool:
    """Tell whether a file is a stage itself (foalnet/stages/NAME.py, or the `__init__` of its folder).

    It runs, forecasts and checks what the modules of `Stage.code` do, and changes no result.
    """
    stages = PACKAGE / "stages"
    return path.parent == stages or (path.parent.parent == stages and path.name == "__init__.py")


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
        sources = [source_of(name) for name in package_names(path)]
        todo += [p for p in sources if p is not None]
        parent = path.parent / "__init__.py"
        if (
            parent.is_file()
            and parent.parent != PACKAGE
            and parent != REGISTRY
            and facade(parent) is None
            and not is_face(parent)
        ):
            todo.append(parent)
    return seen


def without_result(path: Path) -> bool:
    """Tell whether a file of the package cannot change a byte of an output."""
    own = path.relative_to(PACKAGE).with_suffix("")
    return is_face(path) or any(each.as_posix() in WITHOUT_RESULT for each in (own, *own.parents))


def code_deps(stage: str) -> list[str]:
    """Return what dvc.yaml lists for a stage: whole folders where every file is reached, else files.

    Of readers and methods the own one alone; neither the registries, which only name them, nor any facade. `final`
    depends on its method through train.json of the run that it repeats, which has the digest of the method's code.
    """
    code = (f"foalnet.{stage}.run",) if stage in OF_ANY_METHOD else BY_NAME[stage].code
    files = {p for entry in code for p in import_closure(entry) if not without_result(p) and facade(p) is None}
    files -= {REGISTRY, METHOD_REGISTRY}
    methods = {PACKAGE / "methods" / f"{name}.py" for name in METHODS}
    trains = bool(methods & files) and stage not in ("final", *OF_ANY_METHOD)
    files = files | set((PACKAGE / "methods").glob("*.py")) if stage in OF_ANY_METHOD else files - methods
    own = {PACKAGE / "corpora" / name for name in READERS}
    reads = any(own & set(p.parents) for p in files)
    files = {p for p in files if not own & set(p.parents)}
    if stage == "report":
        files |= set((PACKAGE / "evidence" / "report" / "templates").glob("*"))
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
    return sorted(p.relative_to(REPOSITORY).as_posix() for p in covered) + [OWN_METHOD] * trains + [OWN_READER] * reads
