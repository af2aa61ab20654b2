"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
