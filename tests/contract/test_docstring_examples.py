"""The examples in docstrings run; those that read a project: contract/test_project_examples.py."""

from __future__ import annotations

import doctest
import inspect
import shutil
from pathlib import Path

import pytest

import foalnet
from tests.support.examples import OPTIONS, PURE, run_examples
from tests.support.projects import REPOSITORY


@pytest.mark.parametrize("name", PURE)
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    run_examples(name)


def test_every_public_function_has_an_example() -> None:
    public = [getattr(foalnet, name) for name in foalnet.__all__]
    functions = [each for each in public if inspect.isfunction(each)]
    assert len(functions) >= 7
    assert [each.__name__ for each in functions if ">>> " not in (inspect.getdoc(each) or "")] == []


def test_a_wrong_example_is_noticed() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(wrong, out=lambda _: None).failed == 1
