"""The examples in docstrings that read a project's outputs run in the tiny project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import OF_A_PROJECT, run_examples


@pytest.mark.parametrize("name", OF_A_PROJECT)
def test_the_examples_of_a_module_run(name: str, tiny_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_project)
    run_examples(name)
