"""T1 and T10 at random times: kill -9 in chains; then the same command leaves the same bytes and a clean work/.

The first tests are some kills of `python -m bench.kills`, the long ones all of them; a seed of their own each.
"""

from __future__ import annotations

import pytest

from bench.kills import lines, storm
from tests.support.marks import red_when


def outcome(road: str, kills: int, seed: int) -> tuple[int, list[str]]:
    """Return how many were killed, and what was not as it should be, in the product or in the storm."""
    tallies = storm({road: kills}, seed, lambda _: None)
    print("\n".join(lines(tallies)))
    return tallies[road].killed, tallies[road].faults + tallies[road].weak


@red_when("core/locks.py", "the lock of a dead process of this machine is refused")
@pytest.mark.long
def test_t01_staging_killed_at_random_times_ends_the_same() -> None:
    assert outcome("staging", 3, 41) == (3, [])


@pytest.mark.long
def test_t10_training_killed_at_random_times_ends_the_same() -> None:
    assert outcome("training", 4, 12) == (4, [])


@pytest.mark.long
def test_t01_staging_killed_at_fifty_random_times_ends_the_same() -> None:
    assert outcome("staging", 50, 13) == (50, [])


@pytest.mark.long
def test_t10_training_killed_at_twenty_random_times_ends_the_same() -> None:
    assert outcome("training", 20, 14) == (20, [])


@pytest.mark.long
def test_a_dvc_that_is_killed_at_random_times_ends_the_same() -> None:
    assert outcome("repro", 8, 15) == (8, [])
