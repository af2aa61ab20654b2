"""Fixtures that every test may use."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from foalnet.core.processor import hold_instructions

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from tests.support.remotes import Place

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
# A busy machine may take any time for one example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
hold_instructions()  # as the command line does
if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side: one thread each, before torch is imported, in what they start too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
ON_THE_ROAD = {
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "tests").rglob("test_*.py")
    if re.search(r"\b(tiny_project|pushed): ", path.read_text("utf-8"))
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Side by side, a file's tests stay together; all that need the project taken down its road share one."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "road" if file in ON_THE_ROAD else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout, or a skip that says so."""
    folder = Path(os.environ.get("FOALNET_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs real clips in ../shared/data, absent here ({folder.name} not found)")
    return folder


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, shrunk to 40 utterances and 2 epochs, taken down the whole road once."""
    from tests.support.projects import TINY, change_params, copy_project, verb

    project = copy_project(tmp_path_factory.mktemp("tiny") / "project")
    change_params(project, **TINY)
    verb(project, "run")
    return project


@pytest.fixture(scope="session")
def pushed(tiny_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A copy of the tiny project, committed, with everything in a DVC remote beside it; tests copy it again."""
    import shutil

    from tests.support.projects import run
    from tests.support.remotes import Place, commit_all, use_remote

    folder = tmp_path_factory.mktemp("pushed")
    place = Place(project=folder / "project", remote=folder / "remote")
    shutil.copytree(tiny_project, place.project, symlinks=True)
    commit_all(place.project)
    place.remote.mkdir()
    use_remote(place.project, place.remote)
    run(place.project, "dvc", "push")
    return place
