"""T1 and T10 at random times: kill -9 in chains; then the same command leaves the same bytes and a clean work/.

The first tests are some kills of `python -m bench.kills`, the long ones all of them; a seed of their own each.
"""

from __future__ import annotations

import pytest

from bench.kills import lines, storm


def some(road: str, kills: int, seed: int) -> None:
    found = storm({road: kills}, seed, lambda _: None)
    assert found[road].faults == [] and found[road].killed == kills, "\n".join(lines(found))


def test_t01_staging_killed_at_random_times_ends_the_same() -> None:
    some("staging", 3, 11)


@pytest.mark.long
def test_t10_training_killed_at_random_times_ends_the_same() -> None:
    some("training", 4, 12)


@pytest.mark.long
def test_t01_staging_killed_at_fifty_random_times_ends_the_same() -> None:
    some("staging", 50, 13)


@pytest.mark.long
def test_t10_training_killed_at_twenty_random_times_ends_the_same() -> None:
    some("training", 20, 14)
