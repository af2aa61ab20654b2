"""The bench of loading: the rival's items are what the recipe makes, and features go the product's own way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from bench.loader import Items, line, ours, rival, write_features, write_items
from foalnet.config.blocks import Train
from foalnet.shards import open_shards
from tests.support.stores import make_store, write_corpus


def test_items_are_cut_and_padded_and_features_pass_the_products_checks(tmp_path: Path) -> None:
    store = make_store(per_group=2)
    paths = write_corpus(tmp_path, store)
    shards = open_shards(paths.shards)
    items = tmp_path / "items"
    items.mkdir()
    params = Train(frame_step=1)
    steps, rate_hz = write_items(items, shards, params, width=8)
    keys = sorted(key for entry in shards.entries for key in entry.keys)
    labels = dict.fromkeys(keys, 1)
    rows = Items(items, keys, labels, rate_hz=rate_hz, steps=steps)
    wave, table, label = rows[0]
    held, _ = soundfile.read(items / f"{keys[0]}.wav", dtype="float32")
    assert wave.shape == (6 * rate_hz,) and table.shape == (steps, 8) and label == 1
    assert np.array_equal(wave[: len(held)].numpy(), held) and not wave[len(held) :].any()
    features = write_features(tmp_path / "features", items, shards, 1, 8)
    sample = next(iter(shards.samples()))
    vectors, mask = features.rows(sample)
    assert np.array_equal(vectors, np.load(items / f"{sample.key}.npy")) and mask.all()
    spent = ours(shards, labels, params.model_copy(update={"picture": "features"}), features, epochs=2, batch=4)
    assert len(spent) == 2 and min(*spent, rival(rows, 4)) > 0


def test_a_row_gives_first_later_and_all_epochs() -> None:
    assert line("arm", [2.0, 1.0, 1.0], 100, 50.0).split() == ["arm", "50", "100", "75", "1.5", "x"]
