"""Own tasks: retrieval and matching by hand, chance by all orders; the report with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.evidence.own_tasks import Answers, matching, own_task_scores, retrieval
from foalnet.evidence.report import build
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.support.corpus.results import make_params, write_report, write_stages
from tests.support.corpus.rows import make_utterances
from tests.support.pages import Page
from tests.support.sealing import revouch_model

# Similarity of four sounds (rows) with four pictures.
SIMILARITY = np.array([[0.9, 0.1, 0.5, 0.2], [0.8, 0.3, 0.1, 0.2], [0.4, 0.6, 0.7, 0.5], [0.1, 0.2, 0.3, 0.0]])
LABELS = np.array([0, 0, 1, 1])


def test_retrieval_by_hand() -> None:
    to_picture = retrieval(np.eye(4), SIMILARITY.T, LABELS)
    assert to_picture["p_at_1"].tolist() == [0, 1, 0, 1]
    assert to_picture["map"].tolist() == [pytest.approx(1 / 3), 1, 0.5, 1]
    assert to_picture["own_pair"].tolist() == [1, 0, 1, 0]
    to_sound = retrieval(SIMILARITY.T, np.eye(4), LABELS)
    assert to_sound["p_at_1"].tolist() == [1, 0, 0, 1]
    assert to_sound["map"].tolist() == [1, pytest.approx(1 / 3), 0.5, 1]
    assert to_sound["own_pair"].tolist() == [1, 0, 1, 0]
    # One of the three others is right: the mean of 1, 1/2 and 1/3.
    assert to_sound["chance_map"].tolist() == [pytest.approx(11 / 18)] * 4
    assert to_sound["chance_p_at_1"].tolist() == [pytest.approx(1 / 3)] * 4
    assert to_sound["chance_own_pair"].tolist() == [0.25] * 4


def test_chance_is_the_mean_over_all_orders() -> None:
    def precision(right: tuple[bool, ...]) -> float:
        hits = np.cumsum(right) / np.arange(1, len(right) + 1)
        return float(hits[list(right)].mean())

    label_R = np.array([0, 0, 0, 1, 1, 2])
    chance = retrieval(np.eye(6), np.eye(6), label_R)
    every = [precision(order) for order in permutations((True, True, False, False, False))]
    assert chance["chance_map"][0] == pytest.approx(np.mean(every))
    assert np.isnan(chance["chance_map"][5]) and np.isnan(chance["map"][5]), "no other utterance of its class"


def answers() -> Answers:
    """Three utterances: the first's partner has its class, the two others' partners have another."""
    return Answers(
        label_R=np.array([0, 0, 1]),
        partner_RK=np.array([[1], [2], [0]]),
        own_RV=np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]),
        foreign_RKV=np.array([[[1.0, 1.0]], [[-1.0, 1.0]], [[-1.0, -1.0]]]),
    )


def test_matching_by_hand() -> None:
    assert matching(answers()) == {"own": (4, 6), "foreign": (3, 4), "same_class": (2, 2)}
    expected = {"accuracy": 0.708333, "chance": 0.5, "own": 0.666667, "foreign": 0.75, "same_class": 1.0}
    assert own_task_scores([answers(), answers()]) == {"matching": expected}


def test_folds_are_ranked_apart_and_pooled() -> None:
    one = Answers(label_R=LABELS, audio_RP=np.eye(4), video_RP=SIMILARITY.T)
    none = Answers(label_R=np.array([0, 1]), audio_RP=np.eye(2), video_RP=np.eye(2))
    scores = own_task_scores([one, none])["retrieval"]
    assert scores["sound_to_picture"]["p_at_1"] == 0.5 and scores["sound_to_picture"]["map"] == 0.708333
    assert scores["sound_to_picture"]["own_pair"] == round(4 / 6, 6)
    assert own_task_scores([none])["retrieval"]["sound_to_picture"]["p_at_1"] is None
    assert own_task_scores([]) == {}


def stored(model: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Answers to both tasks for every fold of a model; every pair is called one emotion."""
    for name, fold in read_json(model / "logits.json")["folds"].items():
        size = len(fold["test"])
        yield f"{name}/row", np.arange(size, dtype=np.int32)
        yield f"{name}/audio", np.eye(size, dtype=np.float32)
        yield f"{name}/video", np.eye(size, dtype=np.float32)
        yield f"{name}/partner", ((np.arange(size, dtype=np.int32) + 1) % size)[:, None]
        yield f"{name}/own", np.ones((size, 2), np.float32)
        yield f"{name}/foreign", np.ones((size, 1, 2), np.float32)


def test_the_report_has_the_section_if_a_run_has_own_tasks(tmp_path: Path) -> None:
    params = make_params(variants=["baseline", "foal"], report={"bootstrap": 50})
    paths = write_report(tmp_path, params)
    assert "auxiliary tasks learn" not in paths.report_md.read_text()
    assert "own_tasks" not in read_json(paths.metrics)
    save_file(dict(stored(paths.model("foal", 1))), paths.model("foal", 1) / "own_tasks.safetensors")
    revouch_model(paths.model("foal", 1))
    metrics = evaluate_run(params, paths, variant="foal", seed=1)
    assert metrics["loso_dev_session"]["own_tasks"]["matching"]["accuracy"] == 0.5
    utterances = make_utterances(params)
    best = {"sound_to_picture": 0.7, "picture_to_sound": 0.61, "matching": 0.86}
    write_stages(params, paths, utterances, {"drawn": True, "best_own_tasks": best})
    build(params, paths)
    block = read_json(paths.metrics)["own_tasks"]
    assert list(block["variants"]) == ["foal"] and block["best_possible"] == best
    assert block["variants"]["foal"]["retrieval"]["sound_to_picture"]["own_pair"] == 1.0
    text = paths.report_md.read_text()
    lines = text[text.index("## What the auxiliary tasks learn") :].splitlines()
    (row,) = (line for line in lines if line.startswith("| best possible"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["70.0", "–", "61.0", "–", "86.0"]
    assert Page(paths.report_html.read_text()).faults == []


@pytest.mark.parametrize("lacking", ["row", "partner"])
def test_answers_that_do_not_fit_are_named(tmp_path: Path, lacking: str) -> None:
    params = make_params(variants=["foal"])
    paths = write_report(tmp_path, params)
    model = paths.model("foal", 1)
    save_file({k: v for k, v in stored(model) if not k.endswith(lacking)}, model / "own_tasks.safetensors")
    revouch_model(model)
    with pytest.raises(DataError, match="own tasks cannot be used") as caught:
        evaluate_run(params, paths, variant="foal", seed=1)
    assert caught.value.file == str(model / "own_tasks.safetensors")
