"""Length buckets: each key as often as without them, an order that depends only on seeds, less padding."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.stages.train.training import train_folds
from foalnet.train.batches import bucketed, padding
from tests.support.corpus.stores import make_params, make_run, make_store
from tests.unit.test_train import settings, train_one

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=120)
SIZES = st.integers(1, 9)
BUCKETS = st.integers(1, 12)


def orders(lengths: list[int], seed: int = 0) -> tuple[list[str], Any]:
    """An order with repetitions, as the balanced sampler draws it, and the length of each key."""
    keys = [f"k{i:03d}" for i in range(len(lengths))]
    drawn = np.random.default_rng(seed).integers(0, len(keys), len(keys))
    return [keys[i] for i in drawn], dict(zip(keys, lengths, strict=True)).__getitem__


@given(LENGTHS, SIZES, BUCKETS, st.integers(0, 9))
def test_every_key_occurs_exactly_as_often_and_stays_within_its_window(
    lengths: list[int], size: int, buckets: int, seed: int
) -> None:
    order, length = orders(lengths, seed)
    made = bucketed(order, length, size, buckets, seed)
    assert made == bucketed(list(order), length, size, buckets, seed)
    for first in range(0, len(order), size * buckets):
        window = slice(first, first + size * buckets)
        assert Counter(made[window]) == Counter(order[window])


@given(LENGTHS, SIZES, BUCKETS, st.integers(0, 9))
def test_no_draw_has_more_padding_than_without(lengths: list[int], size: int, buckets: int, seed: int) -> None:
    order, length = orders(lengths, seed)
    made = bucketed(order, length, size, buckets, seed)
    assert padding(made, length, size) <= padding(order, length, size) + 1e-12


def test_one_bucket_is_the_order_as_it_was_drawn() -> None:
    order, length = orders(list(range(1, 60)))
    assert bucketed(order, length, 8, 1, "seed") == order


def test_batches_are_alike_inside_and_their_order_changes_with_seed_and_epoch() -> None:
    order, length = orders([int(n) for n in np.random.default_rng(3).integers(10, 500, 64)])
    made = bucketed(order, length, 8, 8, 1, "Session1", 0)
    batches = [sorted(map(length, made[i : i + 8])) for i in range(0, 64, 8)]
    by_length = sorted(batches)
    assert all(a[-1] <= b[0] for a, b in itertools.pairwise(by_length)) and batches != by_length
    others = [
        bucketed(order, length, 8, 8, *seeds) for seeds in ((2, "Session1", 0), (1, "Session2", 0), (1, "Session1", 1))
    ]
    assert all(other != made for other in others)


def test_padding_is_counted_by_hand() -> None:
    lengths = {"a": 4, "b": 2, "c": 3}
    # (4 + 4) places for a and b, 3 for c: 9 of 11 are used.
    assert padding(["a", "b", "c"], lengths.__getitem__, 2) == pytest.approx(2 / 11)
    assert padding(["a", "a"], lengths.__getitem__, 2) == 0.0
    # Always padded to 10: 30 places for 9 samples.
    assert padding(["a", "b", "c"], lengths.__getitem__, 2, least=10) == pytest.approx(1 - sum(lengths.values()) / 30)


def test_a_training_with_buckets_pads_less_says_so_and_learns_from_as_many(tmp_path: Path) -> None:
    synthetic = make_store(per_group=16)
    rows = {}
    for buckets in (1, 6):
        run = make_run(synthetic, "audio_only", params=make_params(buckets=buckets))
        done = train_folds(run, synthetic.store, settings(tmp_path), tmp_path / str(buckets))
        rows[buckets] = [row["padding"] for progress in done.values() for row in progress.rows]
    assert len(rows[1]) == len(rows[6]) and all(0 < few < many < 1 for few, many in zip(rows[6], rows[1], strict=True))
    seen: list[int] = []
    run = make_run(synthetic, "audio_only", params=make_params(buckets=6))
    train_one(run, synthetic, show=lambda _progress, utterances: seen.append(utterances))
    assert seen == [8] * 12, "48 clips, two epochs"
