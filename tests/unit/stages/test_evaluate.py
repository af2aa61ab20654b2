"""The selection rule, the scores of test sessions, and the errors of `evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from foalnet.config import Params
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes, publish_bytes, read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.evidence.metrics import ua
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.support.corpus.results import make_params, write_model, write_stages
from tests.support.corpus.rows import make_speakers, make_utterances
from tests.support.sealing import revouch_model

Corpus = tuple[Params, Paths, list[Utterance]]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """One trained run of a small corpus."""
    params, paths = make_params(), Paths("drawn", tmp_path)
    utterances = make_utterances(params, dialogues=2, used=8, unused=1)
    write_stages(params, paths, utterances)
    write_model(params, paths, utterances, "foal")
    return params, paths, utterances


def score(corpus: Corpus) -> dict[str, Any]:
    return evaluate_run(corpus[0], corpus[1], variant="foal", seed=1)["loso_dev_session"]


def change_index(paths: Paths, change: Any) -> None:
    path = paths.model("foal", 1) / "logits.json"
    index = read_json(path)
    change(index)
    publish_bytes(path, json_bytes(index))
    revouch_model(path.parent)


def change_logits(paths: Paths, change: Any) -> None:
    path = paths.model("foal", 1) / "logits.safetensors"
    tensors = {name: array.copy() for name, array in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    revouch_model(path.parent)


def test_every_used_utterance_is_scored_once_at_the_epoch_its_dev_part_chose(corpus: Corpus) -> None:
    params, paths, utterances = corpus
    metrics = score(corpus)
    rows = read_jsonl(paths.run("foal", 1) / "predictions.jsonl")
    assert [row["key"] for row in rows] == [u.key for u in utterances if u.used]
    tensors = load_file(paths.model("foal", 1) / "logits.safetensors")
    index = read_json(paths.model("foal", 1) / "logits.json")["folds"]
    names, labels = list(params.manifest.classes), {u.key: u.label for u in utterances}
    for name, fold in metrics["folds"].items():
        truth = np.array([names.index(str(labels[key])) for key in index[name]["dev"]])
        by_epoch = [ua(truth, epoch.argmax(axis=1)) for epoch in tensors[f"{name}/dev"]]
        assert fold["epoch"] == 1 + int(np.argmax(np.round(by_epoch, 6)))
        given = tensors[f"{name}/test"][fold["epoch"] - 1].argmax(axis=1)
        assert [row["predicted"] for key in index[name]["test"] for row in rows if row["key"] == key] == [
            names[i] for i in given
        ]
    assert metrics["pooled"]["wa"] == round(sum(r["label"] == r["predicted"] for r in rows) / len(rows), 6)
    assert metrics["over_folds"]["wa"]["mean"] == pytest.approx(
        np.mean([fold["wa"] for fold in metrics["folds"].values()]), abs=1e-6
    )
    assert (metrics["cluster"], metrics["protocol"]) == ("dialogue", "loso_dev_session")


def test_the_test_part_has_no_say_in_the_choice(corpus: Corpus) -> None:
    before = {name: fold["epoch"] for name, fold in score(corpus)["folds"].items()}

    def spoil(tensors: dict[str, np.ndarray]) -> None:
        for name in tensors:
            if name.endswith("/test"):
                tensors[name][:] = np.random.default_rng(0).normal(size=tensors[name].shape)

    change_logits(corpus[1], spoil)
    after = score(corpus)
    assert {name: fold["epoch"] for name, fold in after["folds"].items()} == before
    assert after["pooled"]["ua"] < 0.5


def test_probabilities_are_rounded_sum_to_one_and_agree_with_the_prediction(corpus: Corpus) -> None:
    score(corpus)
    names = list(corpus[0].manifest.classes)
    for row in read_jsonl(corpus[1].run("foal", 1) / "predictions.jsonl"):
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert all(round(p, 6) == p for p in row["probabilities"])
        assert row["probabilities"][names.index(row["predicted"])] == max(row["probabilities"])


def test_same_bytes_again_whatever_the_order_of_the_folds_in_the_index(corpus: Corpus) -> None:
    folder = corpus[1].run("foal", 1)
    score(corpus)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = corpus[1].model("foal", 1) / "logits.json"
    index = read_json(path)
    index["folds"] = dict(reversed(index["folds"].items()))
    path.write_text(json.dumps(index))
    revouch_model(path.parent)
    score(corpus)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sorted(first) == ["metrics.json", "predictions.jsonl"]


def test_an_utterance_that_never_reached_training_is_named(corpus: Corpus) -> None:
    lost: list[str] = []

    def lose(index: dict[str, Any]) -> None:
        lost.append(index["folds"]["Ses01"]["test"].pop())
        index["folds"]["Ses05"]["dev"].remove(lost[0])

    change_index(corpus[1], lose)

    def cut(tensors: dict[str, np.ndarray]) -> None:
        tensors["Ses01/test"] = tensors["Ses01/test"][:, :-1].copy()
        tensors["Ses05/dev"] = tensors["Ses05/dev"][:, :-1].copy()

    change_logits(corpus[1], cut)
    assert score(corpus)["unpredicted"] == lost


def test_a_corpus_folded_by_speaker_is_clustered_by_speaker(tmp_path: Path) -> None:
    params, paths = make_params("ravdess4", reader="ravdess", train={"fold_by": "speaker"}), Paths("ravdess4", tmp_path)
    utterances = make_speakers(params, each=4)
    write_stages(params, paths, utterances)
    write_model(params, paths, utterances, "audio_only")
    metrics = evaluate_run(params, paths, variant="audio_only", seed=1)["loso_dev_session"]
    assert metrics["cluster"] == "speaker"
    assert sorted(metrics["folds"]) == [f"group{i}" for i in range(1, 6)]


def test_a_class_absent_from_a_fold_is_named_there(corpus: Corpus) -> None:
    params, paths, utterances = corpus
    kept = [u for u in utterances if not (u.session == "Ses02" and u.label == "sad")]
    write_stages(params, paths, kept)
    write_model(params, paths, kept, "foal")
    folds = score(corpus)["folds"]
    assert folds["Ses02"]["absent"] == ["sad"]
    assert folds["Ses02"]["recall"]["sad"] is None
    assert folds["Ses01"]["absent"] == []


def other_classes(index: dict[str, Any]) -> None:
    index["classes"] = ["neutral", "happy", "sad", "angry"]


def in_two_folds(index: dict[str, Any]) -> None:
    index["folds"]["Ses02"]["test"] = index["folds"]["Ses01"]["test"]


def leaked(index: dict[str, Any]) -> None:
    index["folds"]["Ses01"]["dev"][0] = index["folds"]["Ses01"]["test"][0]


def unknown(index: dict[str, Any]) -> None:
    index["folds"]["Ses01"]["test"][0] = "Ses09F_impro01_F000"


def one_too_few(index: dict[str, Any]) -> None:
    index["folds"]["Ses01"]["test"].pop()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_classes, "was trained on classes"),
        (in_two_folds, "was already tested in another fold"),
        (leaked, "listed twice or in both"),
        (unknown, "has no label in the manifest"),
        (one_too_few, "expected \\[epochs, 15 utterances"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(corpus: Corpus, change: Any, says: str) -> None:
    change_index(corpus[1], change)
    with pytest.raises(DataError, match=says) as caught:
        score(corpus)
    assert caught.value.action
    assert caught.value.file
    assert not corpus[1].run("foal", 1).exists()


def test_logits_that_are_not_finite_are_refused_by_name(corpus: Corpus) -> None:
    def spoil(tensors: dict[str, np.ndarray]) -> None:
        tensors["Ses03/test"][4, 2, 1] = np.nan

    change_logits(corpus[1], spoil)
    key = read_json(corpus[1].model("foal", 1) / "logits.json")["folds"]["Ses03"]["test"][2]
    with pytest.raises(DataError, match="not finite, the first in epoch 5") as caught:
        score(corpus)
    assert caught.value.utterance == key


def test_logits_that_cannot_be_read_are_an_error_of_the_data(corpus: Corpus) -> None:
    path = corpus[1].model("foal", 1) / "logits.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="not the one that train"):
        score(corpus)
    revouch_model(path.parent)
    with pytest.raises(DataError, match="cannot be read"):
        score(corpus)


def test_evaluate_loads_no_torch() -> None:
    done = run(
        [sys.executable, "-c", "import sys, foalnet.stages.evaluate.scoring; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"


def test_the_four_session_run_is_scored_under_both_its_protocols(corpus: Corpus) -> None:
    params, paths, utterances = corpus
    write_model(params, paths, utterances, "foal", split="four")
    results = evaluate_run(params, paths, variant="foal", seed=1, split="four")
    fixed, best = results["loso_fixed_epochs"], results["paper_best_on_test"]
    assert (fixed["select"], best["select"]) == ("last_epoch", "best_test_ua")
    tensors = load_file(paths.model("foal", 1, "four") / "logits.safetensors")
    index = read_json(paths.model("foal", 1, "four") / "logits.json")["folds"]
    names, labels = list(params.manifest.classes), {u.key: u.label for u in utterances}
    for name in fixed["folds"]:
        truth = np.array([names.index(str(labels[key])) for key in index[name]["test"]])
        by_epoch = [round(ua(truth, epoch.argmax(axis=1)), 6) for epoch in tensors[f"{name}/test"]]
        assert fixed["folds"][name]["epoch"] == len(by_epoch) == fixed["folds"][name]["epochs_run"]
        assert not [key for key in fixed["folds"][name] if key.endswith("by_epoch")]
        assert best["folds"][name]["test_ua_by_epoch"] == by_epoch
        assert best["folds"][name]["epoch"] == by_epoch.index(max(by_epoch)) + 1
        assert best["folds"][name]["ua"] == max(by_epoch) >= fixed["folds"][name]["ua"]
    assert not (paths.run("foal", 1) / "metrics.json").exists(), "the other split was not requested"


def test_a_run_of_the_other_split_is_refused(corpus: Corpus) -> None:
    """A run without dev parts cannot stand in for one with them."""
    params, paths, utterances = corpus
    four = write_model(params, paths, utterances, "foal", split="four")
    for path in four.iterdir():
        (paths.model("foal", 1) / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"belongs to another run: .*split four"):
        score(corpus)
