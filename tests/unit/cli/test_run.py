"""The verb `run`: a first run in one process and its record; a later run is DVC's."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.stage import Stage

from foalnet.artifact.dvcrepo import output_lock, planned, record
from foalnet.artifact.provenance import CodeGuard
from foalnet.cli import run as module
from foalnet.cli.main import cli
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from tests.support.projects import run

PIPELINE = """
stages:
  draw: {cmd: foalnet draw, outs: [raw]}
  report:
    foreach: {mine: {}, other: {}}
    do:
      cmd: foalnet report ${key}
      deps: [raw, sides.txt, params.yaml]
      outs: ["${key}.html"]
      metrics: ["${key}.json": {cache: false}]
  final:
    foreach: {mine: {}, other: {}}
    do: {cmd: "foalnet final ${key}", deps: ["${key}.html"], outs: ["${key}.model"]}
"""
MINE = ["draw", "report@mine", "final@mine"]
RUNS = """
stages:
  draw: {cmd: foalnet draw, outs: [raw]}
  sound: {cmd: foalnet train mine --variant audio_only --seed 1, deps: [raw], outs: [sound]}
  picture: {cmd: foalnet train mine --variant video_only --seed 1, deps: [raw], outs: [picture]}
  both: {cmd: foalnet train mine --variant foal --seed 1, deps: [sound/train.json, picture], outs: [both]}
  scores: {cmd: foalnet evaluate mine --variant audio_only --seed 1, deps: [sound], outs: [scores]}
  final: {cmd: foalnet final mine, deps: [both, scores], outs: [model]}
  study: {cmd: foalnet study rivals, deps: [raw], outs: [board]}
"""


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder .dvc of a new project."""
    home = tmp_path_factory.mktemp("initialised")
    run(home, "dvc", "init", "--no-scm", "-q")
    return home / ".dvc"


@pytest.fixture
def project(initialised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(initialised, tmp_path / ".dvc")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("corpora: {}\n")
    (tmp_path / "sides.txt").write_text("")
    # A metrics file that git tracks is in a fresh clone, too.
    (tmp_path / "mine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the verb ran, in order; those of DVC do nothing."""
    calls: list[str] = []

    def of_dvc(_program: str, command: list[str]) -> None:
        calls.append(" ".join(["dvc", *command[len(module.DVC) :]]))
        sys.exit(0)

    monkeypatch.setattr(module.os, "execv", of_dvc)
    monkeypatch.setattr(module, "record", lambda _home, names: calls.append(f"record {' '.join(names)}"))
    monkeypatch.setattr(module, "_run", lambda _context, command: calls.append(command))
    monkeypatch.setenv("FOALNET_WORKERS", "1")  # all in this process
    return calls


def go(*arguments: str) -> int:
    return CliRunner().invoke(cli, ["run", *arguments], catch_exceptions=False).exit_code


def meanwhile(command: str, calls: list[str], what: Callable[[], None]) -> Callable[[object, str], None]:
    """A verb that does `what` at this command."""

    def one(_context: object, given: str) -> None:
        if given == command:
            what()
        calls.append(given)

    return one


def test_the_plan_of_a_corpus_has_what_its_report_and_model_need(project: Path) -> None:
    assert [stage.name for stage in planned(project, ["mine"])] == MINE
    every = {stage.name: stage for stage in planned(project)}
    assert set(every) == {*MINE, "report@other", "final@other"} and not any(stage.made for stage in every.values())
    assert every["final@other"].command == "foalnet final other"
    with pytest.raises(UsageError, match="no corpus 'nope'"):
        planned(project, ["nope"])


def test_a_first_run_runs_the_stages_here_and_dvc_records_them(project: Path, said: list[str]) -> None:
    assert go("mine") == 0
    names = " ".join(MINE)
    assert said == ["foalnet draw", "foalnet report mine", "foalnet final mine", f"record {names}"]


def test_where_something_was_made_dvc_runs_what_changed(project: Path, said: list[str]) -> None:
    (project / "mine.html").write_text("")
    assert go("other") == 0 and said[-1].startswith("record")
    said.clear()
    go("mine")
    go()
    assert said == [f"dvc repro {' '.join(MINE)}", "dvc repro"]


def test_what_is_in_the_cache_was_made_too(project: Path, said: list[str]) -> None:
    for name in ("raw", "mine.html", "mine.model"):
        (project / name).write_text(name)
    record(project, MINE)
    for name in ("raw", "mine.html", "mine.model"):
        (project / name).unlink()
    assert {stage.name: stage.made for stage in planned(project, ["mine"])} == dict.fromkeys(MINE, True)
    go("mine")
    assert said == [f"dvc repro {' '.join(MINE)}"]


@pytest.mark.parametrize("error", [DataError("broken", action="mend it"), OSError("full"), SystemExit(5)])
def test_after_any_error_the_finished_stages_are_recorded(
    error: BaseException, project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(module, "_run", meanwhile("foalnet final mine", said, broken))
    with suppress(Exception):
        assert go("mine") == 5
    assert said[-1] == "record draw report@mine"


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "sides.txt"])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_recorded_that_was_made_by_what_is_now_edited(
    fails: bool, name: str, project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited() -> None:
        (project / name).write_text((project / name).read_text() + "\n")
        if fails:
            raise DataError("broken", action="mend it")

    monkeypatch.setattr(module, "_run", meanwhile("foalnet report mine", said, edited))
    with pytest.raises(DataError if fails else MachineError, match="^broken" if fails else f"^{name} changed while"):
        go("mine")
    assert not [each for each in said if each.startswith("record")]


def test_code_that_changed_meanwhile_is_not_recorded(
    project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(_guard: CodeGuard) -> None:
        raise MachineError("code changed while the stage ran: a.py", action="run the same command again")

    monkeypatch.setattr(CodeGuard, "check", changed)
    with pytest.raises(MachineError, match="code changed"):
        go("mine")
    assert not [each for each in said if each.startswith("record")]


def test_long_work_is_recorded_on_the_way(project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORD_S", 0.0)
    go("mine")
    assert said[:4] == [
        "foalnet draw", "record draw",
        "foalnet report mine", "record report@mine",
    ]  # fmt: skip
    assert said[-1] == "record final@mine"


def test_a_stage_of_ones_own_is_left_to_dvc(project: Path, said: list[str]) -> None:
    text = PIPELINE.replace("foalnet report ${key}", "python plot.py ${key}")
    (project / "dvc.yaml").write_text(text)
    go("mine")
    assert said == [f"dvc repro {' '.join(MINE)}"]


def test_no_dvc_touches_the_outputs_while_the_stages_run(
    project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def other() -> None:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(sys, "argv", ["dvc", "repro"])
            with (
                pytest.raises(MachineError, match="is busy") as error,
                output_lock(project, planned(project, ["mine"])),
            ):
                pass
        refused.append(str(error.value))
        with pytest.raises(MachineError, match="another run is at work"):
            go("mine")

    monkeypatch.setattr(module, "_run", meanwhile("foalnet report mine", said, other))
    assert go("mine") == 0 and " ".join(sys.argv) in refused[0]
    with output_lock(project, planned(project, ["mine"])):
        pass


def test_half_a_lock_file_names_what_mends_it(project: Path) -> None:
    (project / ".dvc" / "tmp").mkdir(exist_ok=True)
    (project / ".dvc" / "tmp" / "rwlock").write_text("{")
    with pytest.raises(MachineError) as caught, output_lock(project, planned(project, ["mine"])):
        pass
    assert "foalnet mend" in str(caught.value)


def test_stages_are_recorded_while_their_outputs_are_locked(project: Path) -> None:
    (project / "raw").write_text("")
    holds = (project / ".dvc" / "tmp" / "rwlock").read_text
    with output_lock(project, planned(project, ["mine"])):
        before = holds()
        record(project, ["draw"])
        assert holds() == before and "raw" in before
    assert "raw" in (project / "dvc.lock").read_text() and "raw" not in holds()


def test_a_full_disk_of_dvcs_databases_is_an_error_of_the_machine(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_stage: Stage) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    (project / "raw").write_text("")
    monkeypatch.setattr(Stage, "save", full)
    with pytest.raises(MachineError, match="disk is full"):
        record(project, ["draw"])


@pytest.fixture
def runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with runs; each verb adds its process and variant to `log`."""
    (project / "dvc.yaml").write_text(RUNS)
    monkeypatch.setattr(module, "record", lambda _home, _names: None)
    monkeypatch.setattr(module, "_run", logged)
    monkeypatch.setenv("FOALNET_WORKERS", "2")
    monkeypatch.setenv("FOALNET_DEVICE", "cpu")
    return project / "log"


def logged(_context: object, command: str) -> None:
    with Path("log").open("a") as log:
        log.write(f"{os.getpid()} {os.environ['FOALNET_WORKERS']} {command}\n")


def lines_of(log: Path) -> list[tuple[bool, str, str]]:
    """Return of each verb whether a child ran it, its number of workers, and its words."""
    rows = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    return sorted((int(pid) != os.getpid(), workers, words.removeprefix("foalnet ")) for pid, workers, words in rows)


def test_successive_trainings_and_what_reads_them_are_one_group(project: Path) -> None:
    (project / "dvc.yaml").write_text(RUNS)
    groups = [sorted(stage.name for stage in group) for group in module.grouped(planned(project))]
    assert [group for group in groups if {"both", "picture", "scores", "sound"} <= {*group}] and ["draw"] in groups
    assert ["study"] in groups


def test_a_stage_of_a_group_starts_after_those_that_it_reads(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(context: object, command: str) -> None:
        if "audio_only" in command and "train" in command:
            time.sleep(0.5)
        logged(context, command)

    monkeypatch.setattr(module, "_run", slow)
    assert go() == 0
    order = [line.split(" foalnet ")[1] for line in runs.read_text().splitlines()]
    sound = order.index("train mine --variant audio_only --seed 1")
    assert order.index("train mine --variant video_only --seed 1") < sound
    assert sound < order.index("train mine --variant foal --seed 1")
    assert sound < order.index("evaluate mine --variant audio_only --seed 1")


def test_a_group_runs_in_two_processes_that_share_the_workers(runs: Path) -> None:
    assert go() == 0
    children = [words for child, workers, words in lines_of(runs) if child and workers == "1"]
    assert len(children) == 5
    assert [words for child, _, words in lines_of(runs) if not child] == ["draw", "study rivals"]
    assert len(lines_of(runs)) == 7


def test_what_failed_in_a_child_runs_again_and_its_error_is_the_users(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: object, command: str) -> None:
        logged(context, command)
        if "video_only" in command:
            raise DataError("no pictures", action="mend it")

    monkeypatch.setattr(module, "_run", broken)
    with pytest.raises(DataError, match="no pictures"):
        go()
    video = [child for child, _, words in lines_of(runs) if "video_only" in words]
    assert video == [False, True]


def test_a_stop_of_a_child_stops_the_command(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(context: object, command: str) -> None:
        logged(context, command)
        if "video_only" in command:
            os.kill(os.getppid(), signal.SIGTERM)
            raise Interrupted("stopped", action="run the same command again")

    monkeypatch.setattr(module, "_run", stopped)
    recorded: list[str] = []
    monkeypatch.setattr(module, "record", lambda _home, names: recorded.extend(names))
    with pytest.raises(Interrupted, match="stopped in 5 stages"):
        go()
    assert "draw" in recorded and "picture" not in recorded
    assert len([words for _, _, words in lines_of(runs) if "video_only" in words]) == 1


def test_a_stop_reaches_a_child_that_does_not_listen(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(context: object, command: str) -> None:
        if "video_only" in command:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(20)
        logged(context, command)

    monkeypatch.setattr(module, "_run", reads)
    with pytest.raises(Interrupted, match="stopped in 5 stages"):
        go()
    assert not [words for _, _, words in lines_of(runs) if "video_only" in words]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_during_a_record_stops_after_it(
    number: signal.Signals, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []

    def record(_home: Path, names: list[str]) -> None:
        if "sound" in names:
            signal.raise_signal(number)
        recorded.extend(names)

    monkeypatch.setattr(module, "RECORD_S", 0.0)
    monkeypatch.setattr(module, "record", record)
    with pytest.raises(Interrupted, match="stopped in 5 stages"):
        go()
    assert "sound" in recorded and "final" not in recorded


def test_long_work_side_by_side_is_recorded_on_the_way(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[list[str]] = []
    monkeypatch.setattr(module, "RECORD_S", 0.0)
    monkeypatch.setattr(module, "record", lambda _home, names: recorded.append(list(names)))
    assert go() == 0
    assert ["draw"] in recorded and len(recorded) > 4
    assert len([name for names in recorded for name in names]) == 7


def test_with_one_worker_all_run_here(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOALNET_WORKERS", "1")
    assert go() == 0 and not any(child for child, _, _ in lines_of(runs))
