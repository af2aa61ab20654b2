"""Fewer training sessions: which ones train, and that no other utterance enters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.core.paths import Paths
from foalnet.corpora.splits import loso_dev_session
from foalnet.probe.learning import trained_with, with_sessions
from foalnet.stages.train.group import Group
from foalnet.stages.train.training import train_folds
from foalnet.train.batches import Store
from tests.support.corpus.stores import corpus_params, make_store, write_corpus

SESSIONS = [f"Session{n}" for n in range(1, 6)]


def test_each_session_trains_equally_often_and_never_where_it_is_tested() -> None:
    for count in (1, 2):
        folds = [with_sessions(fold, count) for fold in loso_dev_session(SESSIONS)]
        assert all(fold is not None and len(fold.train) == count for fold in folds)
        kept = [fold for fold in folds if fold is not None]
        assert Counter(name for fold in kept for name in fold.train) == dict.fromkeys(SESSIONS, count)
        assert all(not {*fold.test, *fold.dev} & set(fold.train) for fold in kept)
    assert [with_sessions(fold, 3) for fold in loso_dev_session(SESSIONS)] == [None] * 5


@pytest.mark.long
@pytest.mark.parametrize("variant", ["audio_only", "foal"])
def test_the_networks_and_their_encoders_see_the_fewer_sessions_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    synthetic = make_store(groups=5, per_group=8)
    paths: Paths = write_corpus(tmp_path, synthetic)
    params = corpus_params(epochs=2)
    train = params.train.model_copy(update={"encoders": "single"})
    params = params.model_copy(update={"variants": ["audio_only", "video_only", "foal"], "train": train})
    group = Group.of(params, Settings(work=tmp_path / "work", workers=1, device="cpu"), paths)
    seen: dict[str, list[tuple[str, ...]]] = {}

    def watched(run, store: Store, settings: Settings, work: Path):  # type: ignore[no-untyped-def]
        (fold,) = run.folds
        train = run.task(fold, store).train
        assert {synthetic.groups[key] for key in train} == set(fold.train) and len(fold.train) == 1
        seen.setdefault(run.variant, []).append(fold.train)
        return train_folds(run, store, settings, work)

    monkeypatch.setattr("foalnet.stages.train.group.train_folds", watched)
    job = group.job(variant, 1, params.train)
    predicted = trained_with(group, job, 1)
    assert predicted is not None and predicted.keys() == synthetic.labels.keys()
    assert set(seen) == ({"audio_only"} if variant == "audio_only" else {"audio_only", "video_only", "foal"})
    assert all(sorted(each) == [(name,) for name in SESSIONS] for each in seen.values())
    assert trained_with(group, job, 1) == predicted, "kept states give the same answers"
    assert trained_with(group, job, 3) is None
