"""The 92 faults of the reliability plan: what they are, and how far tests cover them.

The number of a fault is in the names of its tests (test_t36_...); their marker `red_when` names the mutations that made
them fail. `python -m tests.faults.catalogue` prints both lists.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `state`: covered, partly, elsewhere (tests without the number) or not; `clauses`: what is checked."""

    title: str
    state: str = "covered"
    note: str = ""
    clauses: str = ""


FAULTS = {
    number: Fault(**facts)
    for number, facts in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")).items()
}


@dataclass(frozen=True, slots=True)
class Marked:
    """One test with fault numbers in its name; `mutations`: (file, mutation, case) of its markers."""

    file: str
    name: str
    numbers: tuple[int, ...]
    mutations: tuple[tuple[str, str, str], ...]


@cache
def marked_tests() -> tuple[Marked, ...]:
    """Return every test that has a fault's number in its name or a marker `red_when`, sorted by file and name."""
    marked = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = tuple(int(n) for n in re.findall(r"t(\d+)_", re.match(r"test_((?:t\d+_)*)", node.name)[1]))  # type: ignore[index]
                calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
                mutations = tuple(_mutation(each) for each in calls if ast.unparse(each.func) == "red_when")
                if numbers or mutations:
                    file = path.relative_to(TESTS).as_posix()
                    marked.append(Marked(file, node.name, numbers, mutations))
    return tuple(sorted(marked, key=lambda each: (each.file, each.name)))


def _mutation(call: ast.Call) -> tuple[str, str, str]:
    file, mutation = (ast.literal_eval(each) for each in call.args)
    return file, mutation, next((ast.literal_eval(each.value) for each in call.keywords), "")


def coverage_page() -> str:
    """Return a table with a row per fault."""
    files: dict[int, set[str]] = defaultdict(set)
    for each in marked_tests():
        for number in each.numbers:
            files[number].add(each.file)
    lines = [
        "# The 92 faults and their tests",
        "",
        "`covered`: tests with the number check every clause. `partly`: the note says what is missing. `elsewhere`:",
        "tests without the number check it. `not`: no test. Paths are below `tests/`.",
        "",
        "| | fault | state | tests | note |",
        "|---|---|---|---|---|",
    ]
    for number, fault in FAULTS.items():
        names = ", ".join(f"`{file}`" for file in sorted(files[number]))
        lines.append(f"| T{number} | {fault.title} | {fault.state} | {names} | {fault.note} |")
    return "\n".join(lines) + "\n"


def mutations_page() -> str:
    """Return, by fault, the mutations that made its tests fail."""
    lines = [
        "# Mutations that made the tests of the faults fail",
        "",
        "Each test passed, then failed with the mutation alone; the mutation was then taken back. Paths of tests are",
        "below `tests/`, of mutations below `foalnet/`.",
    ]
    for number, fault in FAULTS.items():
        rows = [
            f"| `{each.file}::{each.name}{f'[{case}]' if case else ''}` | `{file}`: {mutation} |"
            for each in marked_tests()
            if number in each.numbers
            for file, mutation, case in each.mutations
        ]
        if rows:
            lines += ["", f"## T{number}: {fault.title}", ""]
            lines += [*([fault.clauses, ""] if fault.clauses else []), "| test | mutation |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(coverage_page())
    print(mutations_page())
