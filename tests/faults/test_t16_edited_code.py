"""T16: code that is edited while a stage runs makes the stage fail with the list of files; the next run is whole."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from foalnet.artifact import provenance
from foalnet.core.errors import MachineError
from tests.projects import REPOSITORY, copy_project, program, repro, run, verb
from tests.trees import ravdess_tree

# Runs the verb that the arguments name, and edits, adds and removes sources of the copy while it is at work.
EDITING = """
import sys
from pathlib import Path
import foalnet.corpora.inventory as module

real = module.inventory

def editing(*args):
    package = Path("foalnet")
    (package / "gc.py").write_text((package / "gc.py").read_text() + "# edited\\n")
    (package / "nets" / "new.py").write_text("")
    (package / "nets" / "losses" / "mem.py").unlink()
    return real(*args)

module.inventory = editing
from foalnet.cli import main

main()
"""


MEM = "foalnet/nets/losses/mem.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_project(tmp_path / "project", git=False)
    ravdess_tree(tmp_path / "project" / "tree")
    verb(tmp_path / "project", "add-corpus", "ravdess", "--root", "tree")
    return tmp_path / "project"


def test_t16_a_verb_whose_code_was_edited_meanwhile_fails_with_the_list_of_files(project: Path) -> None:
    done = run(project, sys.executable, "-c", EDITING, "inventory", "ravdess", check=False)
    assert done.returncode == 4, done.stderr
    assert "code changed while the stage ran: gc.py, nets/losses/mem.py, nets/new.py" in done.stderr
    assert "stage: inventory" in done.stderr and "next: run the same command again" in done.stderr
    shutil.copy(REPOSITORY / MEM, project / MEM)
    assert program(project, "inventory", "ravdess").returncode == 0


def test_t16_dvc_records_no_stage_whose_code_was_edited_meanwhile(project: Path) -> None:
    (project / "edit.py").write_text(EDITING)
    path = project / "dvc.yaml"
    real = path.read_text()
    path.write_text(real.replace("foalnet inventory ${key}", "python edit.py inventory ${key}"))
    done = repro(project, "inventory@ravdess", check=False)
    assert done.returncode != 0 and "gc.py" in done.stdout + done.stderr
    lock = project / "dvc.lock"
    assert not lock.exists() or "inventory@ravdess" not in lock.read_text()
    path.write_text(real)
    shutil.copy(REPOSITORY / MEM, project / MEM)
    repro(project, "inventory@ravdess")
    assert "inventory@ravdess" in lock.read_text()


@pytest.mark.parametrize("edit", ["change", "add", "remove", "touch"])
def test_t16_the_guard_sees_content_not_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str) -> None:
    (tmp_path / "nets").mkdir()
    for name in ("a.py", "nets/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    guard = provenance.CodeGuard("train")
    guard.check()
    target = tmp_path / ("nets/c.py" if edit == "add" else "nets/b.py")
    if edit == "remove":
        target.unlink()
    else:
        target.write_text("x = 1\n" if edit == "touch" else "x = 2\n")
    if edit == "touch":
        guard.check()
        return
    with pytest.raises(MachineError, match=f"ran: nets/{target.name}\n") as caught:
        guard.check()
    assert caught.value.stage == "train"


def test_t16_every_stage_of_the_graph_runs_inside_the_guard() -> None:
    """The verb of each stage of dvc.yaml does its work in `with _stage(…)`, which checks at its end."""
    functions = {
        node.name: node
        for path in (REPOSITORY / "foalnet" / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    for name in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]:
        calls = [
            item.context_expr.func.id
            for node in ast.walk(functions[name])
            if isinstance(node, ast.With)
            for item in node.items
            if isinstance(item.context_expr, ast.Call) and isinstance(item.context_expr.func, ast.Name)
        ]
        assert "_stage" in calls, f"the verb {name} is not guarded"
