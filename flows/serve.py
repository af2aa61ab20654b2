"""Starts server, work pool, deployments and worker on loopback with one command; Ctrl-C ends all of them.

Run as `python -m flows.serve` (`make serve`). A guard process (flows/guard.py) runs each long program, so that none
outlives this process.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows import POOL
from flows.process import GUARD
from foalnet.config import load_settings
from foalnet.core.errors import FoalnetError, MachineError, UsageError, reason

HOST = "127.0.0.1"
PORT = 4200
START_S = 180.0
GRACE_S = 10.0
POLL_S = 0.2
SAY_AGAIN_S = 10.0
SAID = 1500


class Ended(BaseException):
    """SIGINT or SIGTERM arrived."""


@dataclass(kw_only=True)
class Kept:
    """A long program that a guard process runs, and its log file."""

    name: str
    log: Path
    keeper: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise MachineError (exit 4) with the program's last output where it ended by itself."""
        if self.keeper.poll() is not None:
            said = self.log.read_text("utf-8", "replace")[-SAID:]
            raise MachineError(
                f"the {self.name} ended by itself (exit {self.keeper.returncode}):\n{said}",
                file=self.log,
                action="see its last output above, then `make serve` again",
            )

    def end(self) -> None:
        """Make the guard end the program and all that it started; kill a guard that does not end, with its group."""
        if self.keeper.poll() is None:
            self.keeper.terminate()
        try:
            self.keeper.wait(GRACE_S + 5.0)
        except subprocess.TimeoutExpired:
            os.killpg(self.keeper.pid, signal.SIGKILL)
            self.keeper.wait()


def serve(home: Path, port: int, say: Callable[[str], None]) -> NoReturn:
    """Serve until a signal arrives (Ended). UsageError (exit 2): no project; MachineError (exit 4): port or program."""
    if not (home / "prefect.yaml").is_file():
        raise UsageError("no prefect.yaml here", file=home, action="run it in the project's folder")
    refuse_busy(port)
    # A database in the project's own folder holds this project's deployments only; other paths in it are old ones.
    own = [] if "PREFECT_HOME" in os.environ else ["--take-over"]
    os.environ.update(environment(home, port))
    logs = (home / load_settings(home).work).resolve() / "serve"
    logs.mkdir(parents=True, exist_ok=True)
    kept: list[Kept] = []
    try:
        say(f"starting the server on {HOST}:{port}; it may take a minute (log: {logs / 'server.log'})")
        kept.append(keep("server", logs, home, ["server", "start", "--host", HOST, "--port", str(port)]))
        wait_healthy(kept[0], port, say)
        say("the server answers; making the deployments")
        # In its own process: Prefect reads its settings once, when it is first imported.
        for line in once(home, "the deployments could not be made", "flows.deploy", *own):
            say(f"  {line}")
        say(f"starting the worker (log: {logs / 'worker.log'})")
        kept.append(keep("worker", logs, home, ["worker", "start", "--pool", POOL]))
        say(f"the UI is at http://{HOST}:{port} (this machine only), logs are in {logs}")
        say(f"in another terminal: export PREFECT_API_URL=http://{HOST}:{port}/api, then")
        say("  prefect deployment run retrain/drawn --watch        Ctrl-C here ends everything")
        while True:
            for each in kept:
                each.check()
            time.sleep(POLL_S)
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        for each in reversed(kept):  # the worker first: it reports to the server how its run ended
            each.end()


def environment(home: Path, port: int) -> dict[str, str]:
    """Return the environment variables of server, worker and commands."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        "PATH": path,
        "FOALNET_HOME": str(home),
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home / ".prefect")),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DVC_NO_ANALYTICS": "1",
    }


def refuse_busy(port: int) -> None:
    """Raise MachineError (exit 4) for a port that is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise MachineError(
                f"port {port} of {HOST} is in use: {reason(error)}",
                action="a server may run there already (end it), or choose another port: `make serve PORT=4201`",
            ) from error


def keep(name: str, logs: Path, home: Path, arguments: Sequence[str]) -> Kept:
    """Start a Prefect program under a guard in its own session: Ctrl-C reaches only this process."""
    log = logs / f"{name}.log"
    guard = [sys.executable, "-I", "-S", str(GUARD), str(GRACE_S), str(os.getpid())]
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [*guard, sys.executable, "-m", "prefect", *arguments],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Kept(name=name, log=log, keeper=keeper)


def wait_healthy(server: Kept, port: int, say: Callable[[str], None]) -> None:
    """Wait until the server answers, with messages; MachineError (exit 4) where it ends or does not answer in time."""
    deadline = time.monotonic() + START_S
    said = time.monotonic()
    while time.monotonic() < deadline:
        server.check()
        if time.monotonic() - said > SAY_AGAIN_S:
            said = time.monotonic()
            say("waiting for the server")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/api/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(POLL_S)
    raise MachineError(f"the server gave no answer within {START_S:g} s", file=server.log, action="see its log")


def once(home: Path, fault: str, module: str, *arguments: str) -> list[str]:
    """Run a short command to its end and return its lines; MachineError (exit 4) with its output where it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise MachineError(
            f"{fault}:\n{(done.stdout + done.stderr)[-SAID:]}",
            file=home / "prefect.yaml",
            action="correct what is named above, then `make serve` again",
        )
    return done.stdout.splitlines()


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Ended


def main() -> int:
    """Serve the current folder; return 0 after Ctrl-C or SIGTERM, else the error's exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="of the server on 127.0.0.1 [%(default)s]")
    port = parser.parse_args().port
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _end)
    began = time.monotonic()
    try:
        serve(Path.cwd(), port, lambda line: print(f"{time.monotonic() - began:4.0f} s  {line}", flush=True))
    except Ended:
        print("ended: server, worker and running flows", flush=True)
        return 0
    except FoalnetError as error:
        print(f"foalnet: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
