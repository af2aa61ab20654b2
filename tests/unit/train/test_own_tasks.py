"""Answers to own tasks: by variant, the same in any batch, partners that are others, kept in the states."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import foalnet.train.own_tasks
from foalnet.methods import build_net
from foalnet.train.batches import score_batches
from foalnet.train.environment import Stop
from foalnet.train.fold import train_fold
from foalnet.train.own_tasks import PARTNERS, own_tasks, partners
from tests.support.corpus.stores import CLASSES, make_run, make_store

CPU = torch.device("cpu")


def answers(variant: str) -> dict[str, Tensor]:
    """The answers of an untrained network on 12 utterances, of which 3 have no picture."""
    synthetic = make_store(groups=3, per_group=4, without_picture=1)
    run = make_run(synthetic, variant)
    torch.manual_seed(1)
    net = build_net(variant, run.params, classes=CLASSES, shape=synthetic.store.shape)
    return own_tasks(net, synthetic.store, sorted(synthetic.labels), CPU, run.params, 1, "fold")


def test_each_variant_answers_its_own_tasks() -> None:
    assert answers("baseline") == answers("audio_only") == {}
    assert sorted(answers("avel")) == ["audio", "row", "video"]
    assert sorted(answers("mem")) == ["foreign", "own", "partner", "row"]
    both = answers("foal")
    assert {name: tuple(rows.shape) for name, rows in both.items()} == {
        "row": (9,),
        "audio": (9, 12),
        "video": (9, 12),
        "partner": (9, 8),
        "own": (9, 2),
        "foreign": (9, 8, 2),
    }
    assert both["audio"].norm(dim=1).tolist() == pytest.approx([1.0] * 9)
    assert both["row"].tolist() == [place for place in range(12) if place not in (0, 4, 8)]


def test_neither_padding_nor_the_batch_changes_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    together = answers("foal")
    monkeypatch.setattr(foalnet.train.own_tasks, "PAIRS_AT_ONCE", 3)
    one_by_one = partial(score_batches, size=1)
    monkeypatch.setattr(foalnet.train.own_tasks, "score_batches", one_by_one)
    alone = answers("foal")
    assert together.keys() == alone.keys()
    for name, rows in together.items():
        torch.testing.assert_close(alone[name], rows, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_partners_are_different_others(count: int) -> None:
    drawn_RK = partners(count, 1, "fold")
    assert drawn_RK.shape == (count, min(PARTNERS, count - 1)) and drawn_RK.dtype == np.int32
    for row, others in enumerate(drawn_RK.tolist()):
        assert row not in others and len(set(others)) == len(others) and set(others) <= set(range(count))
    assert drawn_RK.tolist() == partners(count, 1, "fold").tolist()
    assert count < 5 or drawn_RK.tolist() != partners(count, 2, "fold").tolist()


def test_partners_are_uniform() -> None:
    counts = np.bincount(np.concatenate([partners(20, seed)[3] for seed in range(2000)]), minlength=20)
    # 2,000 x 8 / 19 = 842 expected, with a standard deviation of 22.
    assert counts[3] == 0 and np.delete(counts, 3) == pytest.approx(842, abs=110)


def test_a_finished_fold_keeps_its_answers(tmp_path: Path) -> None:
    synthetic = make_store(per_group=8)
    run = make_run(synthetic, "foal")
    task = run.task(run.folds[0], synthetic.store)
    first, second = (
        train_fold(task, synthetic.store, tmp_path / "state", device=CPU, stop=Stop()).own_tasks for _ in range(2)
    )
    assert sorted(first) == sorted(second) and len(first["row"]) == len(task.test)
    assert all(torch.equal(first[name], second[name]) for name in first)
    net = build_net("foal", run.params, classes=CLASSES, shape=synthetic.store.shape)
    net.load_state_dict(train_fold(task, synthetic.store, tmp_path / "state", device=CPU, stop=Stop()).best_net)
    again = own_tasks(net, synthetic.store, task.test, CPU, run.params, task.seed, task.name)
    torch.testing.assert_close(again, first, rtol=0.0, atol=1e-5)
