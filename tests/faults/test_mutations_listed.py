"""tests/faults/MUTATIONS.md names tests that exist, and leaves out none of the numbers that it is about."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Every test of these is listed; of some others a few are.
NUMBERS = [2, *range(4, 8), 9, 12, 14, *range(18, 50), *range(50, 55), 56, *range(58, 66), 73, 74, 85, 86, 92]
ROW = re.compile(r"\| `((?:\w+/)?test_\w+\.py)::(test_t(\d+)_\w+)(?:\[[^\]]*\])?` \| `([\w/.]+)`: .+ \| red \|")


def test_every_number_has_tests_that_were_red_and_every_test_named_exists() -> None:
    text = (TESTS / "faults" / "MUTATIONS.md").read_text()
    rows = [ROW.fullmatch(line) for line in text.splitlines() if line.startswith("| `")]
    assert all(rows) and {int(row[3]) for row in rows if row} >= set(NUMBERS)
    for row in rows:
        assert row is not None
        file = TESTS / (row[1] if "/" in row[1] else f"faults/{row[1]}")
        assert f"def {row[2]}(" in file.read_text(), row[0]
        assert (TESTS.parent / "foalnet" / row[4]).is_file(), row[0]


def test_every_test_of_these_numbers_is_listed() -> None:
    text = (TESTS / "faults" / "MUTATIONS.md").read_text()
    tests = [
        name
        for file in sorted(TESTS.rglob("test_*.py"))
        for name in re.findall(r"def (test_t\d+_\w+)\(", file.read_text())
    ]
    numbered = [name for name in tests if int(re.findall(r"\d+", name)[0]) in NUMBERS]
    assert [name for name in numbered if f"{name}" not in text] == []
