"""T92: hostile input to every reader gives typed errors, and what is accepted makes sense. `make fuzz`: for long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.support.marks import red_when

EXAMPLES = {"video": 60}


@red_when("corpora/iemocap/text.py", "a line of another dialogue is passed over without a word", case="labels")
@red_when("corpora/iemocap/text.py", "words keep the blanks around them", case="transcript")
@red_when("corpora/iemocap/text.py", "an infinite number is believed", case="lines")
@red_when("clips/sides.py", "a dialogue that the corpus has not is not looked for", case="sides")
@red_when("corpora/tables.py", "a row without a clip is taken", case="table")
@red_when("config/base.py", "of all that YAML's reader raises, its own errors alone are caught", case="params")
@red_when("config/base.py", "of all that YAML's reader raises, its own errors alone are caught", case="settings")
@red_when("core/files.py", "half a surrogate pair is taken for text", case="inventory")
@red_when("artifact/table.py", "an infinite time is believed", case="manifest")
@red_when("shards/index.py", "a key may stand in two shards", case="index")
@red_when("checks/lock.py", "a lock's fields are taken as they come", case="lock")
@red_when("media/video.py", "PyAV's error leaves `probe_times` as it is", case="video")
@red_when("artifact/checkpoint.py", "the digest is made outside what catches its errors", case="checkpoint")
@red_when("shards/walk.py", "a tar that ends without its end mark is whole", case="tar")
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
