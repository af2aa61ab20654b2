"""The catalogue of the 92 faults agrees with the tests."""

from __future__ import annotations

import re

from tests.faults.catalogue import FAULTS, TESTS, marked_tests

# It checks that a disguised playlist would do harm without the product's defence: no mutation of the product fails it.
CONTROL = {"test_t26_the_disguise_would_work_on_an_ffmpeg_left_to_itself"}
# Every test of these has a mutation that made it fail; of some others a few have.
MUTATED = [2, *range(4, 8), 9, 12, 14, *range(18, 50), *range(50, 55), 56, *range(58, 66), 73, 74, 85, 86, 92]


def test_each_of_the_92_is_there_once_and_has_tests_or_says_why_not() -> None:
    assert list(FAULTS) == list(range(1, 93))
    numbers = {number for each in marked_tests() for number in each.numbers}
    for number, fault in FAULTS.items():
        assert fault.state in ("covered", "partly", "elsewhere", "not")
        assert number in numbers or fault.state != "covered", f"T{number} is called covered, by which tests?"
        assert fault.note or fault.state == "covered", f"T{number} is {fault.state}: why?"
        for file in re.findall(r"[\w/]+/test_\w+\.py", f"{fault.note} {fault.clauses}".replace("tests/", "")):
            assert (TESTS / file).is_file(), f"T{number}: {file}"


def test_every_test_of_these_faults_has_a_mutation_that_made_it_fail() -> None:
    without = {each.name for each in marked_tests() if set(each.numbers) & set(MUTATED) and not each.mutations}
    assert without == CONTROL


def test_every_mutation_is_of_a_file_that_exists() -> None:
    files = {file for each in marked_tests() for file, _, _ in each.mutations}
    assert [file for file in sorted(files) if not (TESTS.parent / "foalnet" / file).is_file()] == []
