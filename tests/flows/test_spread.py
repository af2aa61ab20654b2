"""Distributing tasks: the runner of the setting, and what a failure leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.spread import task_runner
from foalnet.config import Settings
from foalnet.core.errors import MachineError
from tests.flows.helpers import Server
from tests.support.projects import REPOSITORY


def test_dask_that_is_not_installed_is_said_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(MachineError, match="prefect-dask is not installed") as failure:
        task_runner(Settings(task_runner="dask"), 2)
    assert ".[dask]" in str(failure.value)


# Says which of three tasks ran, in which order they ended, and what was raised.
GO = """
from pathlib import Path
from prefect import flow, task
from flows.spread import spread
from flows.stages import StageFailed
from flows.tasks import TASK
from foalnet.config import Settings

@task(**TASK)
def note(number):
    with Path("seen.txt").open("a") as file:
        file.write(str(number))
    if number == 1:
        raise StageFailed("note", 3, "no")

@flow
def all_of_them():
    ended = []
    try:
        spread(note, [{"number": n} for n in (1, 2, 3)], settings=Settings(), at_once=1, done=ended.append)
    except StageFailed as error:
        print("ENDED", sorted(ended), error.code)

if __name__ == "__main__":
    all_of_them()
"""


@pytest.mark.long
def test_every_task_is_tried_before_the_first_failure_is_raised(server: Server, tmp_path: Path) -> None:
    (tmp_path / "go.py").write_text(GO)
    env = os.environ | server.env | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "go.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert "ENDED [0, 1, 2] 3" in done.stdout, done.stderr[-4000:]
    assert (tmp_path / "seen.txt").read_text() == "123"
