"""T92: hostile input to every reader gives typed errors, and what is accepted makes sense. `make fuzz`: for long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

EXAMPLES = {"video": 60}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_t92_hostile_input_gives_typed_errors_only(target: Target, tmp_path: Path) -> None:
    settings = hypothesis.settings(
        max_examples=EXAMPLES.get(target.name, 100),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    @settings
    @hypothesis.given(target.drawn)
    def tried(data: Any) -> None:
        target.run(data, tmp_path)

    before = target.tried, target.accepted
    tried()
    count, accepted = target.tried - before[0], target.accepted - before[1]
    assert accepted and (accepted < count) == bool(target.errors), "input of both kinds must be met"
