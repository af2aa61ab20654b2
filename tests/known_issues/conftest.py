"""What tests of several kinds share: a folder with the project's params, and the toy project of the flow tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flows.conftest import server, toy, toy_source

__all__ = ["project", "server", "toy", "toy_source"]


@pytest.fixture
def project(repository: Path, tmp_path: Path) -> Path:
    """A folder with the project's params."""
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        shutil.copy(repository / name, tmp_path)
    return tmp_path
