"""Fixtures: a toy project (the real graph, verbs that take milliseconds) and Prefect's server on loopback."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flows  # noqa: F401  (switches Prefect's telemetry off before a test imports it)
from tests.flows.helpers import Server, child, free_port, make_toy, until
from tests.support.projects import copy_project, environment

START_S = 300.0


@pytest.fixture(scope="session")
def toy_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the project with toys for verbs; tests copy it again."""
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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prefect's server, started once; `deploy` makes its work pool."""
    folder, port = tmp_path_factory.mktemp("prefect"), str(free_port())
    env = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    log = folder / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    with child(log, *command, cwd=folder, env=os.environ | env) as process:
        ready = Server(folder=folder, env=env)
        until(lambda: process.poll() is not None or ready.healthy(), START_S, "a healthy server")
        assert process.poll() is None, log.read_text()[-4000:]
        yield ready
