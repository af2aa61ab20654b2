"""The examples in docstrings, the `>>>` lines: which modules have them, and how a test runs them."""

from __future__ import annotations

import doctest
import importlib
import re

from tests.support.projects import REPOSITORY

OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith(">>> ")]


_EXAMPLES = {
    path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", "."): _lines(path.read_text("utf-8"))
    for path in sorted((REPOSITORY / "foalnet").rglob("*.py"))
}
# An example that reads `data/drawn` or `models/drawn` needs a project in which all stages have run.
OF_A_PROJECT = [name for name, lines in _EXAMPLES.items() if re.search(r"\b(data|models)/drawn/", " ".join(lines))]
PURE = [name for name, lines in _EXAMPLES.items() if lines and name not in OF_A_PROJECT]


def run_examples(name: str) -> None:
    """Run the examples of a module in the current folder; AssertionError if one prints something else."""
    done = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert done.attempted > 0 and done.failed == 0
