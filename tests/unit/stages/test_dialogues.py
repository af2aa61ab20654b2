"""The place of an utterance in its dialogue: overlapped speech. Turns are tested with the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.records import Utterance
from foalnet.stages.manifest.dialogues import with_overlaps
from tests.support.corpus.rows import utterance

spans = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 90), st.integers(1, 30)), min_size=2, max_size=12)


def overlaps(rows: list[Utterance]) -> dict[str, float | None]:
    return {u.key: u.overlap_s for u in with_overlaps(rows)}


@given(spans)
def test_overlap_is_what_counting_tenths_of_a_second_gives(turns: list[tuple[str, int, int]]) -> None:
    shared = overlaps(
        [
            utterance(f"u{i}", dialogue="d", video="v", speaker=who, start_s=start / 10, end_s=(start + length) / 10)
            for i, (who, start, length) in enumerate(turns)
        ]
    )
    for i, (who, start, length) in enumerate(turns):
        others = {t for w, s, n in turns if w != who for t in range(s, s + n)}
        assert shared[f"u{i}"] == pytest.approx(len(others & set(range(start, start + length))) / 10, abs=1e-3)


def test_an_utterance_with_a_recording_of_its_own_has_no_known_overlap() -> None:
    facts: Mapping[str, Any] = {"dialogue": "d", "start_s": 0.0, "end_s": 2.0}
    us = [utterance(name, video=f"{name}.mp4", speaker=name, **facts) for name in "ab"]
    us += [utterance(name, video=None, dialogue_audio=None, speaker=name, **facts) for name in "cd"]
    us += [utterance(name, video=None, dialogue_audio="e.wav", speaker=name, **facts) for name in "ef"]
    assert overlaps(us) == {"a": None, "b": None, "c": None, "d": None, "e": 2.0, "f": 2.0}


def test_an_utterance_of_no_class_counts_and_one_with_wrong_times_does_not() -> None:
    facts: Mapping[str, Any] = {"dialogue": "d", "video": "v"}
    us = [
        utterance("used", speaker="a", start_s=0.0, end_s=4.0, **facts),
        utterance("other", speaker="b", start_s=1.0, end_s=2.0, label=None, reason="label_not_used", **facts),
        utterance("bad", speaker="b", start_s=3.0, end_s=3.0, label=None, reason="segment_invalid", **facts),
    ]
    assert overlaps(us) == {"used": 1.0, "other": 1.0, "bad": None}
