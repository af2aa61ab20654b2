"""Two doors, one house: `dvc repro` on a laptop and a deployment on a server leave the same dvc.lock."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foalnet.artifact.gitrepo import text_at
from tests.flows.helpers import Server
from tests.support.projects import TINY, change_params, copy_project, repro, run


@pytest.mark.long
def test_t89_a_deployment_leaves_the_same_lock_as_dvc_repro(server: Server, tmp_path: Path) -> None:
    laptop = copy_project(tmp_path / "laptop")
    change_params(laptop, **TINY)
    run(laptop, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "tiny")
    machine = shutil.copytree(laptop, tmp_path / "server", symlinks=True)
    repro(laptop)
    assert not (machine / "dvc.lock").exists()
    server.deploy(machine)
    with server.worker(machine) as log:
        done = server.prefect(machine, "deployment", "run", "retrain/drawn", "--watch", timeout_s=1800, check=False)
        assert "Promoted" in done.stdout, done.stdout + log.read_text()[-8000:]
    assert text_at(machine, "champions/drawn", "dvc.lock") == (laptop / "dvc.lock").read_text()
    (page,) = (machine / "work/reports").glob("drawn-*/report.html")
    assert page.read_bytes() == (laptop / "reports/drawn/report.html").read_bytes()
