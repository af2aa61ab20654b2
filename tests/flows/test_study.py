"""A study in parts: two Dask workers leave the bytes and the lock of one process."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.stages import StageFailed, plan
from flows.study import check, study_part
from foalnet.core.errors import UsageError
from foalnet.core.files import sha256_file
from tests.flows.helpers import Server
from tests.support.projects import TINY, change_params, copy_project, program, repro

STUDY = {"corpus": "drawn", "variants": ["audio_only", "foal"], "seeds": [1, 2], "reference": "foal"}
GO = "from flows.study import study\nif __name__ == '__main__': print('ANSWER', study(name='s', parts=2))"


def digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def flow(server: Server, project: Path, **more: str) -> subprocess.CompletedProcess[str]:
    (project / "go.py").write_text(GO)
    env = server.environment(project) | more
    return subprocess.run([sys.executable, "go.py"], cwd=project, env=env, capture_output=True, text=True, timeout=900)


def test_a_study_that_is_not_known_and_too_many_parts_are_refused(toy: Path) -> None:
    change_params(toy, studies={"s": STUDY})
    check(toy, "s", "drawn", 2)
    with pytest.raises(UsageError, match="no study 't' of corpus drawn; valid: s"):
        check(toy, "t", "drawn", 1)
    with pytest.raises(UsageError, match="no study 's' of corpus other"):
        check(toy, "s", "other", 1)
    for parts in (0, 3):
        with pytest.raises(UsageError, match=f"parts: {parts}, and study s has 2 seeds"):
            check(toy, "s", "drawn", parts)


def test_the_plan_ends_with_the_study_and_trains_nothing_else(toy: Path) -> None:
    change_params(toy, studies={"s": STUDY})
    names = [stage.name for stage in plan(toy, "drawn", end="study@s")]
    assert names == ["draw", "inventory@drawn", "manifest@drawn", "shards@drawn", "features@drawn", "study@s"]
    with pytest.raises(UsageError, match="no stage study@t"):
        plan(toy, "drawn", end="study@t")


def test_a_parts_own_exit_code_is_that_of_the_task(toy: Path) -> None:
    with pytest.raises(StageFailed) as failure:
        study_part.fn("s", 1, 2, str(toy))
    assert failure.value.code == 2 and "no study 's'" in str(failure.value) and "part 1 of 2" in str(failure.value)


def test_a_task_can_be_sent_to_another_process() -> None:
    from cloudpickle import dumps, loads

    assert loads(dumps(study_part)).name == study_part.name


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("prefect_dask") is None, reason="the extra `dask` is not installed")
def test_two_dask_workers_leave_the_bytes_and_the_lock_of_one_process(server: Server, tmp_path: Path) -> None:
    alone = copy_project(tmp_path / "alone")
    change_params(alone, **TINY, studies={"s": {**STUDY, "search": 2}})
    repro(alone, "features@drawn")
    spread = shutil.copytree(alone, tmp_path / "spread", symlinks=True)
    repro(alone, "study@s")
    done = flow(server, spread, FOALNET_SLOTS="2", FOALNET_WORKERS="1", FOALNET_TASK_RUNNER="dask")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "'ran': True, 'board': 'reports/drawn/studies/s/board.md'" in done.stdout
    assert "search of study s" in done.stderr
    assert "part 1 of 2: 2 runs of study s" in done.stderr and "part 2 of 2: 2 runs of study s" in done.stderr
    assert digests(spread / "reports/drawn/studies") == digests(alone / "reports/drawn/studies")
    assert (spread / "dvc.lock").read_bytes() == (alone / "dvc.lock").read_bytes()
    [shown] = [each["data"] for each in server.ask("artifacts/latest/filter") if each["key"] == "study-drawn"]
    assert shown == (alone / "reports/drawn/studies/s/board.md").read_text()
    again = flow(server, spread)
    assert "'ran': False" in again.stdout
    # The verb alone finds every run.
    assert "UA" in program(spread, "study", "s").stdout
