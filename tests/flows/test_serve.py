"""`make serve`: one command up, one signal down, nothing left; and what it says where it cannot."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from flows.guard import descendants
from flows.serve import keep
from foalnet.core.errors import MachineError
from tests.flows.helpers import PATIENCE_S, alive, child, free_port, until
from tests.support.projects import environment


def start(project: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.serve", "--port", str(port)],
        cwd=project, env=environment(project), capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip


def test_a_taken_port_and_a_folder_without_project_are_said_at_once(toy: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = start(toy, taken.getsockname()[1])
    assert done.returncode == 4
    assert "is in use" in done.stderr
    assert "PORT=4201" in done.stderr
    (toy / "prefect.yaml").unlink()
    done = start(toy, free_port())
    assert done.returncode == 2
    assert "no prefect.yaml here" in done.stderr


def test_a_program_that_ends_by_itself_is_reported_with_its_last_output(tmp_path: Path) -> None:
    kept = keep("worker", tmp_path, tmp_path, ["no-such-command"])
    kept.keeper.wait(PATIENCE_S)
    with pytest.raises(MachineError, match="no-such-command"):
        kept.check()
    kept.end()


@pytest.mark.long
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_one_command_up_one_signal_down_and_no_descendant_left(toy: Path, tmp_path: Path, signum: int) -> None:
    port, log = free_port(), tmp_path / "serve.log"
    env = environment(toy) | {"PREFECT_HOME": str(tmp_path / "prefect")}
    with child(log, sys.executable, "-m", "flows.serve", "--port", str(port), cwd=toy, env=env) as process:
        until(lambda: "the UI is at" in log.read_text() or process.poll() is not None, 240, "the address")
        assert f"http://127.0.0.1:{port}" in log.read_text(), log.read_text()
        api = env | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        shown = subprocess.run(
            [sys.executable, "-m", "prefect", "deployment", "ls"], env=api, capture_output=True, text=True, cwd=toy
        )
        assert "retrain/drawn" in shown.stdout
        assert "temporary server" not in log.read_text()
        assert re.match(r" +\d+ s  starting the server on ", log.read_text())
        assert "retrain/drawn: made; 0 3 * * * UTC paused" in log.read_text()
        below = descendants(process.pid)
        assert len(below) >= 4, "server and worker, each with its keeper"
        process.send_signal(signum)
        process.wait(PATIENCE_S)
        if signum == signal.SIGINT:
            assert process.returncode == 0
            assert "ended:" in log.read_text()
        until(lambda: not any(alive(pid) for pid in below), PATIENCE_S, "the end of every descendant")
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2)
    assert (toy / "work/serve/server.log").is_file()
