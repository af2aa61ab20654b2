"""What the flow tests share: toy projects, waiting, and Prefect's server and worker as children of the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import POOL
from tests.support.processes import alive, until
from tests.support.projects import environment, run

__all__ = ["alive", "until"]

STOP_S = 20.0
# How long a busy machine may take for what a calm one does within seconds.
PATIENCE_S = 300.0


def make_toy(project: Path) -> Path:
    """Replace the verbs of a copy by toys; everything else stays as committed, and the copy is clean."""
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("cmd: foalnet ", "cmd: python -m tests.flows.toy_verbs "))
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-qam", "toys for verbs"], cwd=project, check=True)
    return project


def calls(project: Path) -> list[str]:
    """The stages whose toy verbs were called, in order."""
    path = project / "calls.txt"
    return path.read_text().split() if path.exists() else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_once(condition: Callable[[], object], stop: threading.Event) -> None:
    """Set `stop` from a thread, once a condition holds: a fixed time would be too short on a busy machine."""

    def wait() -> None:
        until(condition, PATIENCE_S, "what the stop waits for")
        stop.set()

    threading.Thread(target=wait, daemon=True).start()


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
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
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

    def deploy(self, project: Path, **more: str) -> str:
        """Run `foalnet deploy` in a project's folder; the tests' projects take each other's place."""
        return run(project, sys.executable, "-m", "foalnet", "deploy", "--take-over", **self.env, **more).stdout

    def environment(self, project: Path) -> dict[str, str]:
        """Return the environment of a worker for a project."""
        return environment(project) | self.env | {"FOALNET_HOME": str(project)}

    def healthy(self) -> bool:
        """Whether the server answers."""
        try:
            with urllib.request.urlopen(f"{self.env['PREFECT_API_URL']}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **body: object) -> Any:
        """Post to the API and return its answer."""
        request = urllib.request.Request(
            f"{self.env['PREFECT_API_URL']}/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def runs(self, **where: object) -> list[dict[str, Any]]:
        """Return flow runs, the newest first."""
        return list(self.ask("flow_runs/filter", sort="START_TIME_DESC", flow_runs=where))

    @contextmanager
    def worker(self, project: Path) -> Iterator[Path]:
        """A process worker; gives the path of its log."""
        log = self.folder / f"worker-{project.parent.name}.log"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
        with child(log, *command, cwd=project, env=self.environment(project)):
            yield log
