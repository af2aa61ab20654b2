"""Batches from shards: reading, thinning, cutting, counting, masks; the order depends only on seed and epoch."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foalnet.core.errors import DataError, UsageError
from foalnet.shards import Sample, meta_bytes, open_shards
from foalnet.train.batches import (
    Clip,
    Store,
    collate,
    derived_seed,
    eval_batches,
    load_store,
    train_batches,
    train_order,
)
from tests.support.corpus.stores import CLASSES, DIMS, Synthetic, make_params, make_store, sample_of, write_shards
from tests.support.marks import red_when


def reread(tmp_path: Path, synthetic: Synthetic, *, keys: list[str] | None = None, **params: Any) -> Store:
    clips = synthetic.store.clips
    write_shards(
        tmp_path, [(sample_of(clip, synthetic.groups[key]), synthetic.groups[key]) for key, clip in clips.items()]
    )
    return load_store(open_shards(tmp_path), keys or list(clips), make_params(**{"frame_step": 1} | params))


def test_pictures_and_sound_come_back_from_shards(tmp_path: Path) -> None:
    synthetic = make_store(groups=3, per_group=4, without_picture=1)
    hidden = synthetic.store.clips["g2_002"]
    pictures = hidden.parts["video"]
    mask_F = np.arange(len(pictures.values)) != 0
    clips = dict(synthetic.store.clips) | {"g2_002": hidden.put("video", replace(pictures, mask_T=mask_F))}
    store = reread(tmp_path, replace(synthetic, store=replace(synthetic.store, clips=clips)))
    assert list(store.clips) == sorted(clips) and store.shape == synthetic.store.shape
    for key, clip in store.clips.items():
        sound, pictures, expected = clip.parts["audio"], clip.parts["video"], clips[key].parts
        assert np.abs(sound.values - expected["audio"].values).max() <= 1 / 32768 and sound.values.dtype == np.float32
        valid_F = pictures.mask_T
        assert valid_F.tolist() == expected["video"].mask_T.tolist()
        assert pictures.values.dtype == np.uint8 and pictures.values.shape == expected["video"].values.shape
        if valid_F.any():
            difference = pictures.values[valid_F].astype(int) - expected["video"].values[valid_F].astype(int)
            # JPEG at quality 95 over noise of 20 levels.
            assert np.abs(difference).mean() < 6
    assert not store.clips["g2_002"].parts["video"].values[0].any()
    assert store.ledger.counts() == {"kept/video_missing": 3}


def test_half_pictures_are_the_other_stream(tmp_path: Path) -> None:
    store = reread(tmp_path, make_store(groups=3, per_group=2), picture="half")
    assert store.shape.frame == (3, 16, 32)


def test_feature_tables_come_back_exactly(tmp_path: Path) -> None:
    synthetic = make_store(groups=3, per_group=4, frame=(DIMS,), without_picture=1)
    store = reread(tmp_path, synthetic, picture="features")
    assert store.shape.frame == (DIMS,)
    for key, clip in store.clips.items():
        rows_FD = clip.parts["video"].values
        assert np.array_equal(rows_FD, synthetic.store.clips[key].parts["video"].values) and rows_FD.dtype == np.float32


def test_frames_are_thinned_and_both_cut_at_max_s(tmp_path: Path) -> None:
    synthetic = make_store(groups=3, per_group=2)
    clip = synthetic.store.clips["g1_000"]
    frames = np.repeat(np.arange(60, 180, 10, dtype=np.uint8), 3 * 16 * 16).reshape(12, 3, 16, 16)
    long = Clip.of(clip.key, wave_N=np.zeros(6400, np.float32), frames=frames, frame_mask_F=np.ones(12, bool))
    store = replace(synthetic.store, clips=dict(synthetic.store.clips) | {"g1_000": long})
    read = reread(tmp_path, replace(synthetic, store=store), frame_step=3, max_s=0.21)
    # Frames 0, 3, 6, 9 at 30 fps lie at 0, 0.1, 0.2 and 0.3 s.
    assert [round(float(frame.mean()) / 10) for frame in read.clips["g1_000"].parts["video"].values] == [6, 9, 12]
    assert len(read.clips["g1_000"].parts["audio"].values) == 3360
    cut = {e.item for e in read.ledger.entries if e.reason == "audio_truncated"}
    assert cut == {key for key, c in store.clips.items() if c.samples > 3360}


def test_only_requested_parts_are_read_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    store = reread(tmp_path, make_store(groups=3, per_group=2), keys=["g1_001", "g3_000", "dropped_by_staging"])
    assert list(store.clips) == ["g1_001", "g3_000"]
    with pytest.raises(DataError, match="none of the utterances"):
        load_store(open_shards(tmp_path), ["nobody"], make_params())


def test_the_wrong_kind_of_picture_says_what_the_shards_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.picture is 'features', but the shards hold face\.mjpg"):
        reread(tmp_path / "a", make_store(groups=3, per_group=2), picture="features")
    with pytest.raises(UsageError, match=r"video\.npy"):
        reread(tmp_path / "b", make_store(groups=3, per_group=2, frame=(DIMS,)), picture="face")


class Trap:
    """Unpickling this would be an accident."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was executed",)


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


@red_when("train/batches/store.py", "pickled tables are loaded")
@pytest.mark.parametrize(
    ("table", "said"),
    [
        (npy(np.array([[Trap()]], object), allow_pickle=True), "not a plain table"),
        (npy(np.zeros((2, DIMS), np.float64)), "float64"),
        (npy(np.zeros((3, DIMS), np.float32)), r"float32 \[3, 6\]"),
        (npy(np.full((2, DIMS), np.nan, np.float32)), "NaN"),
        (npy(np.zeros((2, DIMS), np.float32))[:-5], "not a plain table"),
        (b"", "not a plain table"),
    ],
    ids=["pickle", "dtype", "shape", "nan", "truncated", "empty"],
)
def test_t62_a_feature_table_that_is_none_is_refused_by_name(tmp_path: Path, table: bytes, said: str) -> None:
    synthetic = make_store(groups=3, per_group=1, frame=(DIMS,))
    rows = []
    for key, clip in synthetic.store.clips.items():
        sample = sample_of(clip, synthetic.groups[key])
        if key == "g2_000":
            meta = json.loads(sample.members["json"]) | {"features": {"frames": 2, "dims": DIMS}}
            sample = Sample(
                key=key, shard="", members=sample.members | {"video.npy": table, "json": json.dumps(meta).encode()}
            )
        rows.append((sample, synthetic.groups[key]))
    write_shards(tmp_path, rows)
    with pytest.raises(DataError, match=said) as caught:
        load_store(open_shards(tmp_path), list(synthetic.store.clips), make_params(picture="features"))
    assert caught.value.utterance == "g2_000" and caught.value.action


def test_pictures_of_two_sizes_are_refused(tmp_path: Path) -> None:
    small, large = make_store(groups=3, per_group=1), make_store(groups=3, per_group=1, frame=(3, 20, 20))
    rows = [(sample_of(clip, small.groups[key]), small.groups[key]) for key, clip in small.store.clips.items()]
    rows[2] = (sample_of(large.store.clips["g3_000"], "Session3"), "Session3")
    write_shards(tmp_path, rows)
    with pytest.raises(DataError, match="2 shapes") as caught:
        load_store(open_shards(tmp_path), list(small.store.clips), make_params())
    assert caught.value.utterance == "g3_000"


@pytest.mark.long
def test_t66_mask_sums_equal_lengths_in_10000_random_batches() -> None:
    """Samples and frames keep the order of their clip; exactly the padding is zero and masked."""
    generator = np.random.default_rng(0)
    wave_N = generator.uniform(0.1, 1.0, 40).astype(np.float32)
    frames = generator.uniform(0.1, 1.0, (9, 2)).astype(np.float32)
    for _ in range(10_000):
        size = int(generator.integers(1, 9))
        samples, slots = generator.integers(1, 40, size).tolist(), generator.integers(0, 9, size).tolist()
        valid = generator.random((size, 9)) < 0.7
        clips = [
            Clip.of(str(i), wave_N=wave_N[:n], frames=frames[:f], frame_mask_F=valid[i, :f])
            for i, (n, f) in enumerate(zip(samples, slots, strict=True))
        ]
        batch = collate(clips)
        wave_BN, frames_BFD = batch.raw["audio"].values_BTD.numpy(), batch.raw["video"].values_BTD.numpy()
        assert batch.raw["audio"].mask_BT.numpy().sum(1).tolist() == samples and wave_BN.shape == (size, max(samples))
        assert batch.raw["video"].mask_BT.numpy().sum(1).tolist() == [
            int(valid[i, :f].sum()) for i, f in enumerate(slots)
        ]
        # The clips' values are all above zero: what is zero is padding, and what is padding is zero.
        assert ((wave_BN > 0) == batch.raw["audio"].mask_BT.numpy()).all()
        assert ((frames_BFD[:, :, 0] > 0).sum(1) == slots).all()
        row = int(generator.integers(size))
        assert wave_BN[row, : samples[row]].tobytes() == clips[row].parts["audio"].values.tobytes()
        assert batch.raw["video"].mask_BT[row, : slots[row]].tolist() == valid[row, : slots[row]].tolist()


def test_t66_length_zero_is_refused() -> None:
    clip = next(iter(make_store().store.clips.values()))
    with pytest.raises(ValueError, match=r"'audio': \(0, "):
        collate([clip, clip.put("audio", replace(clip.parts["audio"], values=clip.parts["audio"].values[:0]))])
    with pytest.raises(ValueError, match="values and mask"):
        pictures = clip.parts["video"]
        collate([clip.put("video", replace(pictures, mask_T=np.ones(len(pictures.values) + 1, bool)))])


def test_t67_batch_of_one_and_last_partial_batch() -> None:
    synthetic = make_store(groups=1, per_group=5)
    labels = {key: CLASSES.index(label) for key, label in synthetic.labels.items()}
    batches = list(train_batches(synthetic.store, sorted(labels), labels, 2))
    assert [len(b.keys) for b in batches] == [2, 2, 1]
    assert [k for b in batches for k in b.keys] == sorted(labels)
    assert [int(n) for b in batches for n in b.label_B] == [labels[k] for k in sorted(labels)]  # type: ignore[union-attr]


def test_unlabelled_batches_hold_every_key_once_and_no_label() -> None:
    store = make_store().store
    batches = list(eval_batches(store, list(store.clips), 7))
    assert Counter(k for b in batches for k in b.keys) == Counter(list(store.clips))
    assert all(b.label_B is None for b in batches)
    lengths = [store.samples(k) for b in batches for k in b.keys]
    assert lengths == sorted(lengths)


def test_t75_order_depends_on_seed_fold_and_epoch_alone() -> None:
    labels = {f"k{i:03d}": i % 3 for i in range(40)}
    shuffled = dict(sorted(labels.items(), key=lambda item: item[0][::-1]))
    for sampler in ("balanced", "plain"):
        first = train_order(labels, sampler, 1, "Session1", 0)
        assert first == train_order(shuffled, sampler, 1, "Session1", 0)
        others = [
            train_order(labels, sampler, *s) for s in ((2, "Session1", 0), (1, "Session2", 0), (1, "Session1", 1))
        ]
        assert all(other != first for other in others)


def test_balanced_draws_classes_alike_and_plain_takes_each_once() -> None:
    labels = {f"k{i:03d}": int(i >= 90) for i in range(100)}
    assert sorted(train_order(labels, "plain", 1)) == sorted(labels)
    drawn = Counter(labels[k] for epoch in range(50) for k in train_order(labels, "balanced", epoch))
    # 5000 fair draws: four standard errors are 141.
    assert drawn.total() == 5000 and abs(drawn[1] - 2500) < 141


def test_derived_seeds_differ_and_fit_torch() -> None:
    seeds = {derived_seed(a, b) for a in range(30) for b in ("x", "y")}
    assert len(seeds) == 60 and all(0 <= s < 2**63 for s in seeds)
    torch.manual_seed(max(seeds))
    assert derived_seed(1, "Session1") == derived_seed(1, "Session1") != derived_seed("1Session1")


def test_words_are_read_and_a_longer_text_is_cut_and_counted(tmp_path: Path) -> None:
    synthetic = make_store(groups=3, per_group=1)
    rows = []
    for key, clip in synthetic.store.clips.items():
        sample = sample_of(clip, synthetic.groups[key])
        meta = replace(sample.meta, text="well " * 5 if key == "g1_000" else "")
        rows.append((replace(sample, members={**sample.members, "json": meta_bytes(meta)}), synthetic.groups[key]))
    write_shards(tmp_path, rows)
    store = load_store(open_shards(tmp_path), list(synthetic.store.clips), make_params(text={"words": 3}))
    assert {key: clip.parts["text"].values.shape[0] for key, clip in store.clips.items()} == {
        "g1_000": 3,
        "g2_000": 0,
        "g3_000": 0,
    }
    assert store.ledger.counts()["repaired/text_truncated"] == 1
