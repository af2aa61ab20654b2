"""Folds share no speaker, and test labels are not accessible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError
from foalnet.corpora.splits import SPLITS, Fold, FoldLabels, deal_speakers, groups_of, loso_all_others, loso_dev_session
from tests.support.corpus.rows import utterance
from tests.support.marks import red_when

SESSIONS = [f"Session{i}" for i in range(1, 6)]


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


@red_when("corpora/splits.py", "two groups are enough")
def test_t44_two_groups_are_too_few() -> None:
    with pytest.raises(DataError, match="2 groups"):
        loso_dev_session(["a", "b"])


def test_a_fold_that_tests_on_its_dev_is_refused() -> None:
    with pytest.raises(ValueError, match="share a group"):
        Fold(name="x", train=("a",), dev=("b",), test=("b",))


def test_speakers_are_dealt_round_in_sorted_order() -> None:
    dealt = deal_speakers([f"Actor_{i:02}" for i in range(16, 0, -1)])
    assert [dealt[f"Actor_{i:02}"] for i in (1, 2, 5, 6, 16)] == ["group1", "group2", "group5", "group1", "group1"]


def test_a_speaker_in_two_sessions_cannot_be_folded_by_session() -> None:
    rows = [utterance("a", session="Session1", speaker="A"), utterance("b", session="Session2", speaker="A")]
    with pytest.raises(DataError, match="share a speaker"):
        groups_of(rows, "session")
    assert len(set(groups_of(rows, "speaker").values())) == 1


def test_the_keys_of_a_part_are_listed() -> None:
    fold = loso_dev_session(SESSIONS)[0]
    groups = {f"u{i}": s for i, s in enumerate(SESSIONS)}
    labels = FoldLabels(fold, dict.fromkeys(groups, "happy"), groups)
    assert labels.label("u1") == "happy"
    assert labels.keys("test") == ["u0"]


@given(st.sets(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=12))
def test_without_a_dev_part_all_others_train(groups: set[str]) -> None:
    folds = loso_all_others(groups)
    assert sorted(g for f in folds for g in f.test) == sorted(groups)
    for fold in folds:
        assert fold.dev == () and fold.name == fold.test[0]
        assert sorted((*fold.train, *fold.test)) == sorted(groups)


def test_one_group_cannot_be_left_out_and_a_fold_needs_a_test_group() -> None:
    with pytest.raises(DataError, match="1 groups"):
        loso_all_others(["a"])
    with pytest.raises(ValueError, match="train and test each need"):
        Fold(name="x", train=("a",), dev=(), test=())


CORPORA = st.integers(3, 30).flatmap(
    lambda speakers: st.lists(st.integers(0, speakers - 1), min_size=1, max_size=60).map(
        lambda said: [*range(speakers), *said]
    )
)


@pytest.mark.parametrize("split", sorted(SPLITS))
@given(said=CORPORA)
def test_folds_by_speaker_share_no_speaker_and_test_every_utterance_once(split: str, said: list[int]) -> None:
    actors = [f"Actor_{who:02d}" for who in said]
    rows = [utterance(f"u{i:03d}", session=actor, speaker=actor) for i, actor in enumerate(actors)]
    groups = groups_of(rows, "speaker")
    folds = SPLITS[split](groups.values())
    tested = []
    for fold in folds:
        who: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
        for row in rows:
            who[fold.part_of(groups[row.key])].add(row.speaker)
        assert sum(map(len, who.values())) == len({row.speaker for row in rows})
        assert bool(who["dev"]) == (split == "dev")
        tested += [row.key for row in rows if fold.part_of(groups[row.key]) == "test"]
    assert sorted(tested) == [row.key for row in rows]


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_labels_of_the_test_part_are_sealed_in_every_split(split: str) -> None:
    groups = {f"u{i}": s for i, s in enumerate(SESSIONS)}
    for fold in SPLITS[split](SESSIONS):
        labels = FoldLabels(fold, dict.fromkeys(groups, "happy"), groups)
        for key, group in groups.items():
            if group in fold.test:
                with pytest.raises(ValueError, match="sealed"):
                    labels.label(key)
            else:
                assert labels.label(key) == "happy"
