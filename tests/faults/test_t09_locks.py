"""T9: a lock of a dead process is taken over and said, a live one names its holder, another machine's is refused."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import foalnet.core.locks as locks
from foalnet.checks.doctor import storage
from foalnet.checks.doctor.base import Context
from foalnet.config import Settings
from foalnet.core.errors import MachineError
from foalnet.core.locks import lock, unreleased
from foalnet.core.paths import Paths
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
import foalnet.core.locks as locks
if len(sys.argv) > 2:
    locks.socket.gethostname = lambda: sys.argv[2]
    locks.BOOT_ID = Path(sys.argv[3])
with locks.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def holder(path: Path, *other_machine: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock; `other_machine`: the name and the boot id file that it goes by."""
    command = [sys.executable, "-c", HOLD, str(path), *other_machine]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def killed_holder(path: Path, *other_machine: str) -> int:
    """Let a process take a lock and be killed; return its number."""
    with holder(path, *other_machine) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return child.pid


@red_when("core/locks.py", "the start is not noted")
def test_t9_a_live_lock_names_process_host_and_start(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "shards-drawn"
    with holder(path) as child, pytest.raises(MachineError) as caught, lock(path):
        pass
    said = caught.value.what
    who = rf"pid {child.pid} on {re.escape(socket.gethostname())} since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.search(rf"another run is at work here \({who}, ", said), said
    assert caught.value.exit_code == 4 and caught.value.file == str(path) and "wait" in str(caught.value.action)


@red_when("core/locks.py", "taking over is not said")
def test_t9_the_lock_of_a_killed_process_is_taken_over_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lock"
    pid = killed_holder(path)
    with lock(path):
        assert f"{path}: took over the lock of a process that is gone (pid {pid} on " in caplog.text
        assert f"pid {os.getpid()} on " in str(unreleased(path))
    assert len(caplog.records) == 1


@red_when("core/locks.py", "the holder's words stay when it ends")
def test_t9_who_ends_in_order_leaves_nothing_to_take_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lock"
    for error in (None, KeyboardInterrupt, MachineError):
        with pytest.raises(error or ZeroDivisionError), lock(path):
            raise (error or ZeroDivisionError)("the end")
    assert unreleased(path) is None and caplog.text == ""
    with lock(path):
        pass
    assert caplog.text == ""


@pytest.fixture
def server(tmp_path: Path) -> tuple[str, str]:
    """Another machine: its name, and what its kernel says of itself."""
    boot = tmp_path / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    return "server", str(boot)


@red_when("core/locks.py", "the holder is not named")
def test_t9_a_live_run_of_another_machine_is_refused_by_its_name(tmp_path: Path, server: tuple[str, str]) -> None:
    path = tmp_path / "lock"
    with (
        holder(path, *server) as child,
        pytest.raises(MachineError, match=f"pid {child.pid} on server since "),
        lock(path),
    ):
        pass


@red_when("core/locks.py", "every holder was one of this machine")
def test_t9_a_lock_that_another_machine_did_not_release_is_refused_as_its_owner_may_live(
    tmp_path: Path, server: tuple[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared disk that does not carry locks from machine to machine: this kernel would give it away."""
    path = tmp_path / "locks" / "shards-drawn"
    pid = killed_holder(path, *server)
    before = path.read_bytes()
    with pytest.raises(MachineError) as caught, lock(path):
        pass
    assert f"another machine has not released this lock (pid {pid} on server since " in caught.value.what
    assert caught.value.exit_code == 4 and caught.value.file == str(path)
    assert "remove this file" in str(caught.value.action)
    assert path.read_bytes() == before, "it still says whose it is"
    findings = list(storage.locks(Context(settings=Settings(work=tmp_path), home=tmp_path)))
    assert findings[0].level == "warning" and "pid" in findings[0].message and findings[0].mend.startswith(f"rm {path}")
    # On the server itself the kernel knows.
    monkeypatch.setattr(locks.socket, "gethostname", lambda: server[0])
    monkeypatch.setattr(locks, "BOOT_ID", Path(server[1]))
    with lock(path):
        assert f"(pid {pid} on server" in caplog.text


@red_when("core/locks.py", "another name or another start is another machine")
@pytest.mark.parametrize("same", ["kernel", "name"])
def test_t9_another_container_and_a_restarted_machine_are_this_machine(
    tmp_path: Path, same: str, caplog: pytest.LogCaptureFixture
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    mine = (socket.gethostname(), str(boot)) if same == "name" else ("container", str(locks.BOOT_ID))
    if same == "kernel" and not locks.BOOT_ID.exists():
        pytest.skip("this system does not tell which run of its kernel it is")
    path = tmp_path / "lock"
    killed_holder(path, *mine)
    with lock(path):
        assert "took over the lock" in caplog.text


@red_when("core/locks.py", "words without start and boot count as another machine's")
@pytest.mark.parametrize("left", [b"pid 7 on elsewhere", b"\x00\x00\x00", b"pid 7 on elsewhere since 2026"])
def test_t9_text_that_an_earlier_version_or_a_power_cut_left_blocks_no_one(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(left)
    with lock(path):
        assert path.read_bytes() != left, "the new holder's words"


@red_when("core/locks.py", "whatever the disk says of a lock, another run holds it")
def test_t9_a_disk_without_locks_and_a_work_folder_that_cannot_be_written_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write") as caught, lock(tmp_path / "file" / "lock"):
        pass
    assert caught.value.exit_code == 4
    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(MachineError, match="this disk cannot lock files") as caught, lock(tmp_path / "lock"):
        pass
    assert "FOALNET_WORK" in str(caught.value.action)


@red_when("core/locks.py", "every holder was one of this machine")
@pytest.mark.long
def test_t9_a_laptop_names_the_server_at_work_and_works_once_that_has_ended(
    tmp_path: Path, server: tuple[str, str]
) -> None:
    """One folder on a disk that both see; the server is played by a process of another name."""
    write_corpus(tmp_path, make_store(per_group=4))
    write_params(tmp_path, epochs=1)
    path = tmp_path / "work" / "locks" / "train-audio_only-s1-drawn"
    path.parent.mkdir(parents=True)

    def laptop() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "foalnet", "train", "drawn", "--variant", "audio_only", "--seed", "1"]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "FOALNET_DEVICE": "cpu", "FOALNET_WORKERS": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    with holder(path, *server) as child:
        done = laptop()
        assert done.returncode == 4 and f"(pid {child.pid} on server since " in done.stderr
        assert "next: wait" in done.stderr and not (tmp_path / "models").exists()
    done = laptop()
    assert done.returncode == 4 and "another machine has not released this lock" in done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks.socket, "gethostname", lambda: server[0])
        patch.setattr(locks, "BOOT_ID", Path(server[1]))
        with lock(path):
            pass  # the server's next run
    done = laptop()
    assert done.returncode == 0, done.stderr
    assert (Paths("drawn", tmp_path).model("audio_only", 1) / "train.json").is_file()
