"""DVC killed at any moment: no verb outlives it, and half-written files are named and repaired."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foalnet.artifact.dvcfiles import CUT, KEPT, LOCK, TABLE, TMP, lock_file_faults, mend
from foalnet.config.draw import Draw
from foalnet.core.errors import MachineError
from foalnet.drawn import write
from foalnet.drawn.plan import Dialogue
from tests.flows.helpers import PATIENCE_S, until
from tests.support.projects import REPOSITORY, copy_project, environment, run, verb

WHOLE = (REPOSITORY / LOCK).read_text("utf-8")
RECORDS = [match.start() for match in re.finditer(r"(?m)^  \S.*:$", WHOLE)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the committed dvc.lock, which a verb kept."""
    (tmp_path / TMP).mkdir(parents=True)
    (tmp_path / LOCK).write_text(WHOLE, "utf-8")
    assert mend(tmp_path, keep=True) == lock_file_faults(tmp_path) == []
    return tmp_path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing has run."""
    return copy_project(tmp_path_factory.mktemp("killed") / "project")


@pytest.mark.parametrize("every", [41, pytest.param(7, marks=pytest.mark.long)])
def test_a_dvc_lock_that_is_cut_anywhere_is_replaced_by_the_last_whole_one(home: Path, every: int) -> None:
    ends = [0, *(match.end() for match in re.finditer("\n", WHOLE))][:-1:every]
    within = range(1, len(WHOLE) - 1, 283 * every)
    # Behind its last line of `size` or `nfiles` a record may be whole: outs that are gone are seen by DVC.
    for at in sorted({*ends, *within}):
        (home / LOCK).write_text(WHOLE[:at], "utf-8")
        assert lock_file_faults(home), WHOLE[:at][-80:]
        said = mend(home)
        assert len(said) == 1
        if "has lost the records" in said[0]:
            assert WHOLE[:at].splitlines()[-1].strip().startswith(("size:", "nfiles:"))
        else:
            assert (home / LOCK).read_text("utf-8") == WHOLE and "the last whole version" in said[0]
            assert (home / TMP / CUT).read_text("utf-8") == WHOLE[:at]


def test_records_that_are_gone_are_named_and_nothing_is_changed(home: Path) -> None:
    fewer = WHOLE[: RECORDS[-1]]
    gone = WHOLE[RECORDS[-1] :].partition(":\n")[0].strip()
    (home / LOCK).write_text(fewer, "utf-8")
    assert gone in mend(home, keep=True)[0]
    assert (home / LOCK).read_text("utf-8") == fewer
    assert mend(home) == [], "said once"


def test_without_an_earlier_one_gits_is_taken_and_without_git_none(project: Path, home: Path) -> None:
    (home / TMP / KEPT).unlink()
    (home / LOCK).write_text(WHOLE[:900], "utf-8")
    assert "it was removed" in mend(home)[0] and not (home / LOCK).exists()
    (project / LOCK).write_text(WHOLE, "utf-8")
    as_someone = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    run(project, *as_someone, "add", "-f", LOCK)
    run(project, *as_someone, "commit", "-qm", "lock")
    (project / LOCK).write_text(WHOLE[:900], "utf-8")
    assert "cut" in verb(project, "show", "drawn", check=False).stderr
    assert (project / LOCK).read_text("utf-8") == WHOLE


@pytest.mark.parametrize("text", ["schema: '2.0'\nstages: {}\n", WHOLE.replace("stages:\n", "stages:\n<<<<<<< ours\n")])
def test_what_is_not_cut_is_left(home: Path, text: str) -> None:
    (home / LOCK).write_text(text, "utf-8")
    mend(home)
    assert (home / LOCK).read_text("utf-8") == text


@pytest.mark.parametrize("text", ["{", "", '{"write": {"/a": {"pid": 4194303, "cm', "[]"])
def test_half_a_lock_file_of_dead_processes_is_removed(home: Path, text: str) -> None:
    (home / TMP / TABLE).write_text(text)
    assert "truncated" in lock_file_faults(home)[0] and (home / TMP / TABLE).exists()
    assert "removed" in mend(home)[0]
    assert not (home / TMP / TABLE).exists() and mend(home) == lock_file_faults(home) == []


def test_half_a_lock_file_of_a_living_process_is_left(home: Path) -> None:
    (home / TMP / TABLE).write_text(f'{{"write": {{"/a": {{"pid": {os.getpid()}, "cm')
    with pytest.raises(MachineError, match=f"pid {os.getpid()}"):
        mend(home)
    assert (home / TMP / TABLE).exists()


@pytest.mark.long
def test_dvc_works_again_after_mend_and_the_doctor_names_it(project: Path) -> None:
    (project / TMP).mkdir(exist_ok=True)
    (project / TMP / TABLE).write_text("{")
    refused = run(project, "dvc", "repro", "draw", check=False)
    assert refused.returncode == 255 and "corrupted" in refused.stderr + refused.stdout
    doctor = verb(project, "doctor", "drawn", check=False)
    assert re.search(r"fault +locks +.*rwlock is truncated.*mend: foalnet mend", doctor.stdout)
    assert doctor.returncode == 4
    assert "removed" in verb(project, "mend").stdout
    assert "nothing to repair" in verb(project, "mend").stdout
    run(project, "dvc", "status", "draw")


def of(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes below one, parents first (Linux)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    pids = [process.pid]
    for each in pids:
        pids += children.get(each, [])
    return pids[1:]


def command_of(pid: int) -> str:
    """Return a process' command line, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def living(pids: list[int]) -> list[int]:
    """Return those that run (a zombie does not)."""
    alive = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
        except OSError:
            continue
        alive += [pid] * (state not in "ZX")
    return alive


def ended(below: list[int]) -> None:
    """Wait until none of the processes runs, or name those that do."""
    limit = time.monotonic() + PATIENCE_S
    while living(below):
        assert time.monotonic() < limit, [f"{pid}: {command_of(pid)}" for pid in living(below)]
        time.sleep(0.1)


@contextmanager
def drawing(project: Path, *command: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start a command that draws, wait until it has a worker, and give it and the processes below it."""
    env = environment(project) | {"FOALNET_WORKERS": "2"}
    started = subprocess.Popen(
        command, cwd=project, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    below: list[int] = []
    try:
        limit = time.monotonic() + PATIENCE_S
        # The verb, its workers and their encoders: what an earlier test left in the folder does not count.
        while not any("spawn_main" in command_of(pid) for pid in below):
            below = of(started)
            assert started.poll() is None and time.monotonic() < limit
            time.sleep(0.1)
        yield started, below
    finally:
        for pid in living([started.pid, *below]):
            os.kill(pid, signal.SIGKILL)
        started.communicate()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl and /proc of Linux")
def test_no_verb_outlives_the_dvc_that_started_it_and_a_second_dvc_is_refused_by_number(project: Path) -> None:
    with drawing(project, sys.executable, "-m", "dvc", "repro", "draw") as (dvc, below):
        assert len(below) >= 2
        second = run(project, sys.executable, "-m", "dvc", "repro", "draw", check=False)
        assert second.returncode == 255 and f"(PID {dvc.pid})" in second.stderr + second.stdout
        dvc.send_signal(signal.SIGKILL)
        ended(below)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl and /proc of Linux")
def test_no_worker_outlives_a_killed_verb(project: Path) -> None:
    with drawing(project, sys.executable, "-m", "foalnet", "draw") as (draw, below):
        draw.send_signal(signal.SIGKILL)
        ended(below)


def endless(_params: Draw, dialogue: Dialogue, *, root: Path, with_media: set[str]) -> None:
    """Draw a dialogue that takes longer than anyone waits."""
    (root.parent / f"begun {dialogue.name}").touch()
    time.sleep(2 * PATIENCE_S)
    (root.parent / "finished").touch()


def test_ctrl_c_does_not_wait_for_the_dialogues_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "draw_dialogue", endless)

    def press() -> None:
        until(lambda: list(tmp_path.glob("begun *")), PATIENCE_S, "a dialogue at work")
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            write.draw(Draw(), tmp_path / "raw", workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "finished").exists() and not list(tmp_path.glob(".raw*"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_a_verb_outlives_the_shell_that_started_it(project: Path) -> None:
    with drawing(project, "/bin/sh", "-c", "foalnet draw & wait") as (shell, below):
        shell.send_signal(signal.SIGKILL)
        shell.wait()
        time.sleep(2)
        assert living(below)
