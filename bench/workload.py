"""Makes utterances with IEMOCAP's true lengths and random content, for benches of the network without a corpus.

Shape letters: N samples, F frames, D feature width.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from foalnet.config.blocks import Train
from foalnet.core.ledger import Ledger
from foalnet.nets import Batch, InputShape
from foalnet.train.batches import Clip, Store, bucketed, train_batches
from foalnet.train.fold import pad_s

RATE_HZ, RATE_FPS = 16000, 30
CLASSES = 4


def lengths_s(table: Path) -> list[float]:
    """Return the length in seconds of every utterance of a table with columns start_s and end_s."""
    with table.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [float(row["end_s"]) - float(row["start_s"]) for row in rows]


def made_up(table: Path, *, utterances: int, crop_s: float, dims: int, seed: int) -> Store:
    """Return a store of noise: utterances with lengths drawn from the table, cut to `crop_s`, a vector per frame."""
    generator = np.random.default_rng(seed)
    known = np.array(lengths_s(table))
    clips: dict[str, Clip] = {}
    for place, length_s in enumerate(generator.choice(known, size=utterances, replace=False)):
        heard_s = min(float(length_s), crop_s)
        frames = max(1, round(heard_s * RATE_FPS))
        key = f"u{place:05d}"
        clips[key] = Clip.of(
            key,
            wave_N=(0.05 * generator.standard_normal(round(heard_s * RATE_HZ))).astype(np.float32),
            frames=generator.standard_normal((frames, dims)).astype(np.float32),
            frame_mask_F=np.ones(frames, bool),
        )
    return Store(clips=clips, shape=InputShape(rate_hz=RATE_HZ, frame=(dims,)), ledger=Ledger())


def batches(store: Store, params: Train, *, size: int) -> Iterator[Batch]:
    """Yield every utterance once, in batches by params: in buckets or not, padded to the longest or a fixed length."""
    labels = {key: place % CLASSES for place, key in enumerate(store.clips)}
    order = bucketed(list(store.clips), store.samples, size, params.buckets, "bench")
    return train_batches(store, order, labels, size, pad_s=pad_s(params))
