"""The verb `run`: a first run in one process and its record; a later run is DVC's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from foalnet.artifact.dvcrepo import planned
from foalnet.cli import run as module
from foalnet.cli.main import cli
from foalnet.core.errors import DataError, MachineError, UsageError
from tests.support.projects import run

PIPELINE = """
stages:
  draw: {cmd: foalnet draw, outs: [raw]}
  report:
    foreach: {mine: {}, other: {}}
    do: {cmd: "foalnet report ${key}", deps: [raw], outs: ["${key}.html"], metrics: ["${key}.json": {cache: false}]}
  final:
    foreach: {mine: {}, other: {}}
    do: {cmd: "foalnet final ${key}", deps: ["${key}.html"], outs: ["${key}.model"]}
"""
MINE = ["draw", "report@mine", "final@mine"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("corpora: {}\n")
    run(tmp_path, "dvc", "init", "--no-scm", "-q")
    # A metrics file that git tracks is in a fresh clone, too.
    (tmp_path / "mine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the verb ran, in order; those of DVC do nothing."""
    calls: list[str] = []

    def of_dvc(*arguments: str) -> int:
        calls.append(" ".join(["dvc", *arguments]))
        return 0

    monkeypatch.setattr(module, "_dvc", of_dvc)
    monkeypatch.setattr(module, "_run", lambda _context, command: calls.append(command))
    return calls


def go(*arguments: str) -> int:
    result = CliRunner().invoke(cli, ["run", *arguments], catch_exceptions=False)
    return result.exit_code


def fails_at(command: str, calls: list[str], how: Callable[[], None]) -> Callable[[object, str], None]:
    def one(_context: object, given: str) -> None:
        if given == command:
            how()
        calls.append(given)

    return one


def test_the_plan_of_a_corpus_has_what_its_report_and_model_need(project: Path) -> None:
    assert [stage.name for stage in planned(project, ["mine"])] == MINE
    every = {stage.name: stage for stage in planned(project)}
    assert set(every) == {*MINE, "report@other", "final@other"} and not any(stage.made for stage in every.values())
    assert every["final@other"].command == "foalnet final other"
    with pytest.raises(UsageError, match="no stage final@nope"):
        planned(project, ["nope"])


def test_a_first_run_runs_the_stages_here_and_dvc_records_them(project: Path, said: list[str]) -> None:
    assert go("mine") == 0
    names = " ".join(MINE)
    assert said == ["foalnet draw", "foalnet report mine", "foalnet final mine", f"dvc commit --force --quiet {names}"]


def test_where_something_was_made_dvc_runs_what_changed(project: Path, said: list[str]) -> None:
    (project / "mine.html").write_text("")
    assert go("other") == 0 and said[-1].startswith("dvc commit")
    said.clear()
    go("mine")
    go()
    assert said == [f"dvc repro {' '.join(MINE)}", "dvc repro"]


def test_what_is_in_the_cache_was_made_too(project: Path, said: list[str]) -> None:
    for name in ("raw", "mine.html", "mine.model"):
        (project / name).write_text(name)
    run(project, "dvc", "commit", "-f", "-q", *MINE)
    for name in ("raw", "mine.html", "mine.model"):
        (project / name).unlink()
    assert {stage.name: stage.made for stage in planned(project, ["mine"])} == dict.fromkeys(MINE, True)
    go("mine")
    assert said == [f"dvc repro {' '.join(MINE)}"]


def test_after_an_error_the_finished_stages_are_recorded(
    project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise DataError("broken", action="mend it")

    monkeypatch.setattr(module, "_run", fails_at("foalnet final mine", said, broken))
    with pytest.raises(DataError, match="broken"):
        go("mine")
    assert said[-1] == "dvc commit --force --quiet draw report@mine"


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml"])
def test_nothing_is_recorded_of_params_that_changed_meanwhile(
    name: str, project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited() -> None:
        (project / name).write_text((project / name).read_text() + "\n")

    monkeypatch.setattr(module, "_run", fails_at("foalnet report mine", said, edited))
    with pytest.raises(MachineError, match="changed while the stages ran"):
        go("mine")
    assert not [each for each in said if each.startswith("dvc commit")]
