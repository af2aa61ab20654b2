"""T72, T73, the leakage alarm: where clips say nothing of their labels, nothing may score above chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.stages.train.training import train_folds
from foalnet.train.fold import unweighted_accuracy
from tests.support.corpus.stores import CLASSES, Synthetic, make_params, make_run, make_store
from tests.support.marks import red_when


def ua_of_test_parts(synthetic: Synthetic, variant: str, tmp_path: Path) -> float:
    """UA over all folds' test parts at the chosen epoch, as `evaluate` would score it."""
    params = make_params(epochs=4, batch_size=16)
    run = make_run(synthetic, variant, params=params)
    settings = Settings(work=tmp_path, device="cpu", threads=1)
    done = train_folds(run, synthetic.store, settings, tmp_path / variant)
    right = []
    for fold in run.folds:
        task, progress = run.task(fold, synthetic.store), done[fold.name]
        truth = [CLASSES.index(synthetic.labels[key]) for key in task.test]
        right.append(unweighted_accuracy(progress.test_NC[progress.best], truth))
    return sum(right) / len(right)


@pytest.mark.parametrize(
    "variant",
    ["audio_only", pytest.param("video_only", marks=pytest.mark.long), pytest.param("foal", marks=pytest.mark.long)],
)
def test_t72_shuffled_labels_give_chance(tmp_path: Path, variant: str) -> None:
    # 600 test clips: the standard error of a score at chance is 0.018, the band of 0.05 nearly three of them.
    synthetic = make_store(groups=3, per_group=200, shuffled=True)
    assert abs(ua_of_test_parts(synthetic, variant, tmp_path) - 0.25) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("variant", ["audio_only", "video_only", "foal"])
def test_t72_the_alarm_can_ring(tmp_path: Path, variant: str) -> None:
    """With the true labels the same training is far above chance: the test above would notice a leak."""
    assert ua_of_test_parts(make_store(groups=3, per_group=40), variant, tmp_path) > 0.6


@pytest.mark.long
@red_when("train/batches/collate.py", "the number in an utterance's name makes it louder")
@pytest.mark.parametrize("variant", ["audio_only", "video_only", "foal"])
def test_t73_the_session_as_only_feature_gives_chance(tmp_path: Path, variant: str) -> None:
    """Every clip of a session is the same clip under another name: whoever tells them apart had it from elsewhere."""
    synthetic = make_store(groups=3, per_group=40)
    first = {group: key for key, group in reversed(synthetic.groups.items())}
    clips = {key: replace(synthetic.store.clips[first[group]], key=key) for key, group in synthetic.groups.items()}
    one_each = replace(synthetic, store=replace(synthetic.store, clips=clips))
    assert len({clip.parts["audio"].values.tobytes() for clip in clips.values()}) == 3
    assert abs(ua_of_test_parts(one_each, variant, tmp_path) - 0.25) <= 0.05
