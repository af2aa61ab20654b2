"""tests/faults/COVERAGE.md has a line for each of the 92 faults, and what it claims there are tests for."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROW = re.compile(r"\| T(\d+) \| ([^|]+) \| (covered|partly|elsewhere|not) \| ([^|]*) \| ([^|]*) \|")
NUMBERED = re.compile(r"def test_((?:t\d+_)+)")


def rows() -> dict[int, tuple[str, list[str], str]]:
    """Return number -> (state, files of tests, note)."""
    lines = [line for line in (TESTS / "faults" / "COVERAGE.md").read_text().splitlines() if line.startswith("| T")]
    matches = [ROW.fullmatch(line) for line in lines]
    assert all(matches), [line for line, row in zip(lines, matches, strict=True) if row is None]
    numbered = [(int(row[1]), row[3], re.findall(r"`([^`]+)`", row[4]), row[5].strip()) for row in matches if row]
    assert [number for number, *_ in numbered] == list(range(1, 93))
    return {number: (state, files, note) for number, state, files, note in numbered}


def numbers_in(file: Path) -> set[int]:
    """Return the numbers that the names of a file's tests bear."""
    return {int(n) for names in NUMBERED.findall(file.read_text()) for n in re.findall(r"t(\d+)_", names)}


def test_each_of_the_92_stands_once_and_its_files_bear_its_number() -> None:
    for number, (state, files, note) in rows().items():
        assert all((TESTS / file).is_file() for file in files), f"T{number}: {files}"
        assert all(number in numbers_in(TESTS / file) for file in files), f"T{number}: {files}"
        assert files or state in ("elsewhere", "not", "partly"), f"T{number} is called covered, by which tests?"
        assert note or state == "covered", f"T{number} is {state}: why?"


def test_every_file_that_a_note_names_exists() -> None:
    for number, (_, _, note) in rows().items():
        for file in re.findall(r"\w+/test_\w+\.py", note):
            assert (TESTS / file).is_file(), f"T{number}: {file}"


def test_no_file_with_a_number_is_left_out() -> None:
    listed = {number: set(files) for number, (_, files, _) in rows().items()}
    for path in sorted(TESTS.rglob("test_*.py")):
        file = path.relative_to(TESTS).as_posix()
        missing = sorted(number for number in numbers_in(path) if file not in listed.get(number, set()))
        assert missing == [], f"{file} has tests of {missing} that COVERAGE.md does not name"
