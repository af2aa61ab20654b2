"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.remotes import Place

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


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
    from tests.projects import TINY, change_params, copy_project, repro

    project = copy_project(tmp_path_factory.mktemp("tiny") / "project")
    change_params(project, **TINY)
    repro(project)
    return project


@pytest.fixture(scope="session")
def pushed(tiny_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A copy of the tiny project, committed, with everything in a DVC remote beside it; tests copy it again."""
    import shutil

    from tests.projects import run
    from tests.remotes import Place, commit_all, use_remote

    folder = tmp_path_factory.mktemp("pushed")
    place = Place(project=folder / "project", remote=folder / "remote")
    shutil.copytree(tiny_project, place.project, symlinks=True)
    commit_all(place.project)
    place.remote.mkdir()
    use_remote(place.project, place.remote)
    run(place.project, "dvc", "push")
    return place
