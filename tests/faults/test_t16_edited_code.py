"""T16: code that is edited while a stage runs makes the stage fail with the list of files; the next run is whole."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from foalnet.artifact import provenance
from foalnet.cli.study import study
from foalnet.config import Settings
from foalnet.core.errors import MachineError
from foalnet.core.paths import Paths
from foalnet.stages.base import Context, run_stage
from foalnet.stages.table import BY_NAME
from tests.support.corpus.stores import corpus_params
from tests.support.corpus.trees import ravdess_tree
from tests.support.projects import REPOSITORY, copy_project, program, repro, run, verb

# Runs the verb that the arguments name, and edits, adds and removes sources of the copy while it is at work.
EDITING = """
import sys
from dataclasses import replace
from pathlib import Path
import foalnet.corpora.inventory as module

real = module.inventory

def editing(*args):
    package = Path("foalnet")
    (package / "checks/work.py").write_text((package / "checks/work.py").read_text() + "# edited\\n")
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


@pytest.mark.long
def test_t16_a_verb_fails_with_the_list_of_files_edited_meanwhile(project: Path) -> None:
    done = run(project, sys.executable, "-c", EDITING, "inventory", "ravdess", check=False)
    assert done.returncode == 4, done.stderr
    assert "code changed while the stage ran: checks/work.py, nets/losses/mem.py, nets/new.py" in done.stderr
    assert "stage: inventory" in done.stderr and "next: run the same command again" in done.stderr
    shutil.copy(REPOSITORY / MEM, project / MEM)
    assert program(project, "inventory", "ravdess").returncode == 0


@pytest.mark.long
def test_t16_dvc_records_no_stage_after_its_code_was_edited_meanwhile(project: Path) -> None:
    (project / "edit.py").write_text(EDITING)
    path = project / "dvc.yaml"
    real = path.read_text()
    path.write_text(real.replace("foalnet inventory ${key}", "python edit.py inventory ${key}"))
    done = repro(project, "inventory@ravdess", check=False)
    assert done.returncode != 0 and "checks/work.py" in done.stdout + done.stderr
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
    guard = provenance.CodeGuard()
    guard.check()
    target = tmp_path / ("nets/c.py" if edit == "add" else "nets/b.py")
    if edit == "remove":
        target.unlink()
    else:
        target.write_text("x = 1\n" if edit == "touch" else "x = 2\n")
    if edit == "touch":
        guard.check()
        return
    with pytest.raises(MachineError, match=f"ran: nets/{target.name}\n"):
        guard.check()


@pytest.mark.parametrize("name", BY_NAME)
def test_t16_every_stage_of_the_graph_runs_inside_the_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "package")

    def edited(_: Context) -> list[str]:
        (tmp_path / "package" / "a.py").write_text("x = 1\n")
        return []

    settings, paths = Settings(work=tmp_path / "work"), Paths("drawn", tmp_path)
    context = Context(params=corpus_params(), settings=settings, paths=paths)
    with pytest.raises(MachineError, match=r"code changed while the stage ran: a\.py") as caught:
        run_stage(replace(BY_NAME[name], run=edited, folders=lambda _: []), context)
    assert caught.value.stage == name


def test_t16_a_study_runs_inside_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].keys() == BY_NAME.keys() | {"study", "probe"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "package")

    def edited(*_: object, **__: object) -> str:
        (tmp_path / "package" / "a.py").write_text("x = 1\n")
        return ""

    monkeypatch.setattr("foalnet.study.run_study", edited)
    monkeypatch.setattr(
        "foalnet.study.plan.plan_of", lambda _, name: SimpleNamespace(name=name, params=corpus_params())
    )
    monkeypatch.setattr("foalnet.cli.study.read_file", lambda: None)
    assert study.callback is not None
    with pytest.raises(MachineError, match=r"code changed while the stage ran: a\.py"):
        study.callback("s", part=None, search=False)
