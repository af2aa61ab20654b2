"""Folds share no speaker, and test labels are sealed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.errors import DataError
from foalnet.records import Utterance
from foalnet.splits import Fold, FoldLabels, deal_speakers, groups_of, loso_dev_session

SESSIONS = [f"Session{i}" for i in range(1, 6)]


def utterance(key: str, session: str, speaker: str) -> Utterance:
    return Utterance(
        key=key, corpus="x", session=session, dialogue=key[:3], speaker=speaker, side="left",
        start_s=0.0, end_s=1.0, raw_label="neu", label="neutral",
    )  # fmt: skip


def test_dev_is_the_next_session_and_wraps_round() -> None:
    folds = {f.name: f for f in loso_dev_session(SESSIONS)}
    assert folds["Session1"].dev == ("Session2",)
    assert folds["Session5"].dev == ("Session1",)
    assert folds["Session5"].train == ("Session2", "Session3", "Session4")


@given(st.sets(st.text("abc", min_size=1, max_size=3), min_size=3, max_size=12))
def test_every_group_is_tested_once_and_no_part_overlaps(groups: set[str]) -> None:
    folds = loso_dev_session(groups)
    assert sorted(g for f in folds for g in f.test) == sorted(groups)
    for fold in folds:
        assert sorted((*fold.train, *fold.dev, *fold.test)) == sorted(groups)


def test_two_groups_are_too_few() -> None:
    with pytest.raises(DataError, match="2 groups"):
        loso_dev_session(["a", "b"])


def test_a_fold_that_tests_on_its_dev_is_refused() -> None:
    with pytest.raises(ValueError, match="share a group"):
        Fold(name="x", train=("a",), dev=("b",), test=("b",))


def test_speakers_are_dealt_round_in_sorted_order() -> None:
    dealt = deal_speakers([f"Actor_{i:02}" for i in range(16, 0, -1)])
    assert [dealt[f"Actor_{i:02}"] for i in (1, 2, 5, 6, 16)] == ["group1", "group2", "group5", "group1", "group1"]


def test_a_speaker_in_two_sessions_cannot_be_folded_by_session() -> None:
    rows = [utterance("a", "Session1", "A"), utterance("b", "Session2", "A")]
    with pytest.raises(DataError, match="share a speaker"):
        groups_of(rows, "session")
    assert len(set(groups_of(rows, "speaker").values())) == 1


def test_labels_of_the_test_part_are_sealed() -> None:
    fold = loso_dev_session(SESSIONS)[0]
    groups = {f"u{i}": s for i, s in enumerate(SESSIONS)}
    labels = FoldLabels(fold, dict.fromkeys(groups, "happy"), groups)
    assert labels.label("u1") == "happy"
    assert labels.keys("test") == ["u0"]
    with pytest.raises(ValueError, match="sealed"):
        labels.label("u0")
