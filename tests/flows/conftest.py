"""Toy projects (the real graph, verbs that take milliseconds), and Prefect's server and worker on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import flows  # noqa: F401  (switches Prefect's telemetry off before a test imports it)
from tests.projects import copy_project, environment

STOP_S = 20.0


def make_toy(project: Path) -> Path:
    """Replace the verbs of a copy by toys; everything else stays as committed."""
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("cmd: foalnet ", "cmd: python -m tests.flows.toy_verbs "))
    return project


@pytest.fixture(scope="session")
def toy_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(copy_project(tmp_path_factory.mktemp("toy") / "project"))


@pytest.fixture
def toy(toy_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh toy project, with this process' environment set for it."""
    project = shutil.copytree(toy_source, tmp_path / "project", symlinks=True)
    for name in ("PYTHONPATH", "DVC_NO_ANALYTICS", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, environment(project)[name])
    monkeypatch.setenv("FOALNET_HOME", str(project))
    monkeypatch.chdir(tmp_path)
    return project


def calls(project: Path) -> list[str]:
    """The stages whose toy verbs were called, in order."""
    path = project / "calls.txt"
    return path.read_text().split() if path.exists() else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: object, timeout_s: float, what: str) -> None:
    """Wait for a condition, or fail saying what did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.1)


@contextmanager
def child(log: Path, *command: str, cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A long-running child of the test, ended by TERM, then KILL of its group; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server on loopback with a home of its own."""

    folder: Path
    env: dict[str, str]

    def prefect(
        self, project: Path, *command: str, timeout_s: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a prefect command in a project's folder, as docs/operating.md has it."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *command],
            cwd=project,
            env=self.environment(project),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"prefect {' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def environment(self, project: Path) -> dict[str, str]:
        return environment(project) | self.env | {"FOALNET_HOME": str(project)}

    @contextmanager
    def worker(self, project: Path) -> Iterator[Path]:
        """A process worker; gives the path of its log."""
        log = self.folder / f"worker-{free_port()}.log"
        command = (sys.executable, "-m", "prefect", "worker", "start", "--pool", "foalnet-pool")
        with child(log, *command, cwd=project, env=self.environment(project)):
            yield log


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prefect's server, started once, with the work pool made as docs/operating.md says."""
    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    env = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    log = folder / "server.log"
    command = (
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    )
    with child(log, *command, cwd=folder, env=os.environ | env) as process:

        def healthy() -> bool:
            assert process.poll() is None, log.read_text()[-4000:]
            try:
                with urllib.request.urlopen(f"{env['PREFECT_API_URL']}/health", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        until(healthy, 120, f"a healthy server\n{log.read_text()[-2000:]}")
        yield Server(folder=folder, env=env)
