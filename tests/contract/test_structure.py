"""The house: floors, budgets, cheap import, no forbidden strings. Read from the sources, not from promises."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.structure import FLOORS, floor_of, module_of, package_imports

PACKAGE = Path(__file__).resolve().parents[2] / "foalnet"
SOURCES = sorted(PACKAGE.rglob("*.py")) + sorted((PACKAGE.parent / "flows").rglob("*.py"))
# Rooms that are of no use without torch.
LEARNING = ("methods", "nets", "train", "stages", "authors", "predict", "probe", "study", "tune")
TENSORS = ("artifact/checkpoint.py", "artifact/model.py")


def test_every_module_has_a_floor() -> None:
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in PACKAGE.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} == set(FLOORS)
    assert set(FLOORS.values()) == set(range(9))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_lower_floors_or_its_own_room(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    for target in package_imports(path):
        if "." not in target:
            continue
        own, floor = floor_of(module_of(path)), floor_of(target)
        assert floor < own or target.split(".")[1] == room, (
            f"{path.name} (floor {own}) imports {target} (floor {floor})"
        )


def test_the_library_knows_nothing_of_prefect() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) (prefect|flows)\b", path.read_text(), re.M), path


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_heavy_packages_are_imported_inside_functions_but_where_networks_are(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in LEARNING or path.relative_to(PACKAGE).as_posix() in TENSORS:
        return
    heavy = {"torch", "torchaudio", "webdataset", "face_alignment", "transformers"}
    for node in ast.parse(path.read_text()).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not heavy & {n.split(".")[0] for n in names}, f"{path.name} imports {names} at its top"


def test_budgets_of_modules_and_functions() -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in SOURCES}
    assert statistics.median(lengths.values()) <= 150
    assert {p.name: n for p, n in lengths.items() if n > 400} == {}
    long = [
        f"{p.name}:{node.name} {node.end_lineno - node.lineno + 1}"
        for p in SOURCES
        for node in ast.walk(ast.parse(p.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert long == []


def test_t91_import_opens_no_socket_loads_no_torch_and_is_quick() -> None:
    code = (
        "import sys, time, socket\n"
        "def refuse(*a, **k): raise SystemExit('socket opened')\n"
        "socket.socket.connect = refuse\n"
        "t = time.process_time(); import foalnet; t = time.process_time() - t\n"
        "assert 'torch' not in sys.modules and 'prefect' not in sys.modules\n"
        "print(t)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.3


def test_help_of_every_verb_loads_no_torch() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\n"
        "from foalnet.cli.main import VERBS, cli\n"
        "for name in VERBS:\n"
        "    result = CliRunner().invoke(cli, [name, '--help'])\n"
        "    assert result.exit_code == 0 and len(result.output) > 80, name\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_no_machine_path_in_the_sources(path: Path) -> None:
    machine = r"""["'](/home/|/root/|/tmp/|/mnt/|/opt/|/srv/|/Users/|C:\\\\)"""
    assert not re.search(machine, path.read_text()), module_of(path)


# Names that a stranger cannot read; each has a plain one (facts, result, expected, owner, spool, crops, ...).
DIALECT = re.compile(
    r"(?:^|_)(told|found|asked|anew|lies|whose|nobody|doors?|reels?|films?|filmed|scenes?|kin|lay|lays|laid|teller)(?:_|$)"
)
# Names of other packages' things.
THEIRS = {"file_not_found", "package_not_found", "object_not_found"}


def snake(name: str) -> str:
    """Return a name in lower case with _ between its words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("folder", ["foalnet", "flows", "bench", "tests"])
def test_names_are_plain(folder: str) -> None:
    paths = sorted((PACKAGE.parent / folder).rglob("*.py"))
    assert {path.name: names for path in paths if (names := unclear_names(path))} == {}


def unclear_names(path: Path) -> list[str]:
    """Return the names and string keys of a file that are in the list of DIALECT."""
    names = {path.stem}
    for node in ast.walk(ast.parse(path.read_text())):
        names |= {getattr(node, field, None) for field in ("name", "id", "attr", "arg")} - {None}
        if isinstance(node, ast.Dict):
            names |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    names = {snake(name).removesuffix("_error") for name in names}
    return sorted(name for name in names - THEIRS if DIALECT.search(name))


def test_unit_tests_mirror_the_rooms() -> None:
    """tests/unit/ROOM/test_MODULE.py tests a module of the room, tests/unit/test_ROOM.py the room as a whole."""
    unit = PACKAGE.parent / "tests" / "unit"
    strange = []
    for path in sorted(unit.rglob("test_*.py")):
        room, module = path.parent.relative_to(unit).as_posix(), path.stem.removeprefix("test_")
        names = {"foalnet", *FLOORS} if room == "." else {each.stem for each in (PACKAGE / room).rglob("*")}
        if module not in names:
            strange.append(path.relative_to(unit).as_posix())
    assert strange == []
