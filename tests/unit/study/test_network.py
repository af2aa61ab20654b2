"""The size, arithmetic and explanations of a study's networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foalnet.config import Settings
from foalnet.core.records import Prediction
from foalnet.stages.evaluate.scoring import score_folds
from foalnet.stages.train.group import Group, Job
from foalnet.study.network import examples, explanation, flops, net_of, network_facts
from foalnet.study.run import _logits
from tests.support.corpus.stores import corpus_params, make_store, write_corpus

CPU = torch.device("cpu")


@pytest.fixture
def group(tmp_path: Path) -> Group:
    paths = write_corpus(tmp_path, make_store(groups=5, per_group=8))
    return Group.of(corpus_params(epochs=1), Settings(work=tmp_path / "work", workers=1, device="cpu"), paths)


def job(group: Group, variant: str) -> Job:
    return group.job(variant, 1, group.params.train)


def test_a_layer_more_costs_its_products(group: Group) -> None:
    keys = [u.key for u in group.utterances if u.used]
    counted = {}
    for variant in ("concat", "gmu"):
        one = job(group, variant)
        counted[variant] = flops(net_of(one, group.store(one)), group.store(one), keys, one)
    # Instead of a classifier on both means, two layers, a gate on both, and a classifier on the result.
    width, classes = 256, len(group.params.manifest.classes)
    more = 2 * (2 * width * width + 2 * width * width + width * classes - 2 * width * classes)
    assert counted["gmu"] - counted["concat"] == more


def test_what_is_computed_once_for_a_clip_does_not_count(group: Group) -> None:
    audio = group.params.train.audio.model_copy(update={"encoder": "functionals"})
    train = group.params.train.model_copy(update={"audio": audio})
    keys = [u.key for u in group.utterances if u.used]
    one = group.job("audio_only", 1, train)
    first, second = (flops(net_of(one, group.store(one)), group.store(one), keys, one) for _ in range(2))
    assert first == second


def test_an_lstm_and_a_transformer_are_counted(group: Group) -> None:
    keys = [u.key for u in group.utterances if u.used]
    counts = {}
    for variant in ("concat", "jmt", "gban_av"):
        one = job(group, variant)
        counts[variant] = flops(net_of(one, group.store(one)), group.store(one), keys, one)
    width, segments = 256, 32
    # Three encoders and one over six tokens: four layers of the attention, two of the feed-forward part.
    encoders = 2 * (3 + 6) * segments * 6 * width * width
    assert counts["jmt"] - counts["concat"] > encoders
    # Two LSTMs of two directions: four gates that read the step and the state.
    steps = 10
    assert counts["gban_av"] - counts["concat"] > 2 * 2 * steps * 4 * (width // 2) * (width + width // 2)


def test_gates_are_explained_by_class_and_for_the_surest_answers(group: Group) -> None:
    one = job(group, "gmu")
    progress, store = group.trained(one), group.store(one)
    used = {u.key: u for u in group.utterances if u.used}
    folds = [_logits(one, name, each, store) for name, each in progress.items()]
    rows, _ = score_folds(group.params, "loso_dev_session", folds, used, variant="gmu", seed=1)
    gates = explanation(one, progress, store, rows, CPU)["gates"]
    assert gates["columns"] == ["audio", "video"]
    assert list(gates["classes"]) == list(group.params.manifest.classes)
    assert all(sum(each) == pytest.approx(1.0, abs=2e-4) for each in gates["classes"].values())
    assert [each["key"] for each in gates["utterances"]] == [row.key for row in examples(rows)]
    # One network at a time gives what all folds together give.
    facts = network_facts(one, progress, store)
    assert facts["method"] == "gmu" and facts["flops"] > 0 and 0 < facts["trained_parameters"] == facts["parameters"]
    alone = job(group, "audio_only")
    assert explanation(alone, group.trained(alone), store, rows, CPU) == {}


def test_similarities_are_those_of_the_whole_test_part_of_a_fold(group: Group) -> None:
    one = job(group, "foal")
    progress, store = group.trained(one), group.store(one)
    used = {u.key: u for u in group.utterances if u.used}
    folds = [_logits(one, name, each, store) for name, each in progress.items()]
    rows, _ = score_folds(group.params, "loso_dev_session", folds, used, variant="foal", seed=1)
    explain = explanation(one, progress, store, rows, CPU)
    assert sorted(explain) == ["audio_by_video", "avel", "gradient_modalities", "video_by_audio"]
    assert explain["avel"]["columns"] == ["own picture", "same emotion", "another emotion", "margin"]
    for own, _, other, margin in explain["avel"]["classes"].values():
        assert margin == pytest.approx(own - other, abs=2e-4) and -1 <= own <= 1


def test_the_examples_are_the_surest_right_and_wrong_answers_of_each_class() -> None:
    def row(key: str, label: str, predicted: str, sure: float) -> Prediction:
        return Prediction(
            key=key, fold="1", session="1", dialogue="d", speaker="s", label=label, predicted=predicted,
            probabilities=(sure, 1 - sure),
        )  # fmt: skip

    rows = [
        row("1", "a", "a", 0.6), row("2", "a", "a", 0.9), row("3", "a", "a", 0.9), row("4", "a", "b", 0.7),
        row("5", "b", "b", 0.55),
    ]  # fmt: skip
    assert [each.key for each in examples(rows)] == ["2", "4", "5"]
