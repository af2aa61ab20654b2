"""Workers that die, fail or are interrupted: no process remains, no dialogue is lost in silence."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from foalnet.clips.pool import Pool
from foalnet.core.errors import DataError, Interrupted, MachineError
from tests.support.marks import red_when
from tests.support.processes import alive, until

LONG_S = 300.0


def setup() -> int:
    return os.getpid()


def square(state: int, job: int) -> tuple[int, int]:
    return job * job, state


def mark(folder: Path, job: int) -> int:
    marks = len(list(folder.glob(f"{job}-*")))
    (folder / f"{job}-{marks}").touch()
    return marks


def die_once(_: int, job: int, folder: Path) -> int:
    if mark(folder, job) == 0 and job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def die_always(_: int, job: int, folder: Path) -> int:
    mark(folder, job)
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def hunger(_: int, job: int, folder: Path) -> int:
    mark(folder, job)
    if job == 2:
        raise MemoryError
    return job


def fail(_: int, job: int, folder: Path) -> int:
    mark(folder, job)
    if job == 1:
        raise DataError("bad file", file="a.avi", utterance="u", action="mend it")
    if job == 3:
        raise ZeroDivisionError("a bug")
    return job


def sleep_with_child(_: int, job: int, folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / f"pids-{job}").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)


def pool(work, workers: int = 2, **options) -> Pool:
    return Pool(setup=setup, work=work, name=lambda job: f"job {job}", workers=workers, **options)


def test_results_come_in_the_order_of_the_jobs_from_several_processes() -> None:
    seen: list[int] = []
    results = pool(square, done=seen.append).run([3, 1, 2])
    assert [value for value, _ in results] == [9, 1, 4]
    assert len({pid for _, pid in results} | {os.getpid()}) >= 2
    assert sorted(seen) == [1, 2, 3]


def test_no_jobs_start_no_worker() -> None:
    assert pool(square).run([]) == []


@red_when("clips/pool.py", "`RETRIES` 0")
def test_t11_a_killed_worker_costs_one_retry(tmp_path: Path) -> None:
    assert pool(functools.partial(die_once, folder=tmp_path)).run([1, 2, 3, 4]) == [1, 2, 3, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-0", "2-0", "2-1", "3-0", "4-0"]


@red_when("clips/pool.py", "`RETRIES` 2")
def test_t11_a_worker_that_dies_again_is_reported_after_the_others_finished(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"job 2 died twice.*signal 9"):
        pool(functools.partial(die_always, folder=tmp_path)).run([1, 2, 3, 4])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-0", "2-0", "2-1", "3-0", "4-0"]


@red_when("clips/pool.py", "no memory is a bug like any other")
def test_t11_a_worker_that_finds_no_memory_is_as_one_that_was_killed(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"job 2 died twice \(out of memory\)") as caught:
        pool(functools.partial(hunger, folder=tmp_path)).run([1, 2, 3, 4])
    assert caught.value.exit_code == 4 and "FOALNET_WORKERS" in str(caught.value.action)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-0", "2-0", "2-1", "3-0", "4-0"]


def test_typed_errors_cross_whole_and_every_job_is_tried(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bad file\n  1 more failed: job 3") as caught:
        pool(functools.partial(fail, folder=tmp_path), workers=1).run([1, 2, 3, 4])
    assert (caught.value.file, caught.value.utterance, caught.value.action) == ("a.avi", "u", "mend it")
    assert len(list(tmp_path.iterdir())) == 4


def fail_twice(_: int, job: int) -> None:
    raise DataError("bad file") if job == 1 else MachineError("no space")


def test_t82_what_a_second_try_may_mend_decides_the_exit_code() -> None:
    with pytest.raises(MachineError, match=r"no space\n  1 more failed: job 1"):
        pool(fail_twice, workers=1).run([1, 2])


def test_a_bug_shows_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)job 3: a bug in a worker.*ZeroDivisionError: a bug"):
        pool(functools.partial(fail, folder=tmp_path), workers=1).run([2, 3])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_t10_ctrl_c_ends_workers_and_their_children(tmp_path: Path) -> None:
    def press() -> None:
        until(lambda: len(list(tmp_path.glob("pids-*"))) == 2, LONG_S, "two workers at work")
        os.kill(os.getpid(), signal.SIGINT)

    # Started in the background by a shell, this process ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(Interrupted) as caught:
            pool(functools.partial(sleep_with_child, folder=tmp_path)).run([1, 2])
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert caught.value.exit_code == 5 and "same command again" in str(caught.value.action)
    pids = [int(pid) for path in tmp_path.glob("pids-*") for pid in path.read_text().split()]
    assert len(pids) == 4
    until(lambda: not any(alive(pid) for pid in pids), LONG_S, "the end of workers and children")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_parent_takes_its_workers_with_it(tmp_path: Path) -> None:
    code = (
        "import functools, pathlib\nfrom tests.unit.clips import test_pool as t\n"
        "if __name__ == '__main__':\n"
        f"    t.pool(functools.partial(t.sleep_with_child, folder=pathlib.Path({str(tmp_path)!r}))).run([1])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        pids = tmp_path / "pids-1"
        until(lambda: pids.exists() and pids.read_text().count(" ") == 1, LONG_S, "a worker with its child")
    finally:
        parent.kill()
        parent.wait()
    worker, child = map(int, (tmp_path / "pids-1").read_text().split())
    until(lambda: not alive(worker), LONG_S, "the end of the worker")
    if alive(child):
        os.kill(child, signal.SIGKILL)
