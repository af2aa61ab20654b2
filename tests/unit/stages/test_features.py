"""The stage `features`: CLIP's own numbers, the same bytes when resumed or repeated, foreign features refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.config import Params, Settings
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.ledger import Ledger
from foalnet.core.paths import Paths
from foalnet.encoders import Pretrained, transformers_offline
from foalnet.predict.live import LiveFeatures
from foalnet.shards import open_shards
from foalnet.shards.features import open_features
from foalnet.stages.features import encode as stage
from foalnet.stages.features.clip import ClipImages
from foalnet.stages.train.training import train_run
from foalnet.train.batches import load_store, read_clip
from tests.support.corpus.stores import Synthetic, corpus_params, make_store, write_corpus
from tests.support.hub import needs_transformers, recorded

DIMS = 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pretrained]:
    needs_transformers()
    root = tmp_path_factory.mktemp("weights")
    return root, recorded(root, "clip_vit_b32", pickle=True)


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Paths, Synthetic]:
    """Five dialogues; the first utterance of each has no picture, and one slot of another is empty."""
    synthetic = make_store(per_group=4, without_picture=1)
    clips = dict(synthetic.store.clips)
    mask_F = clips["g2_002"].parts["video"].mask_T.copy()
    mask_F[0] = False
    hidden = clips["g2_002"]
    clips["g2_002"] = hidden.put("video", replace(hidden.parts["video"], mask_T=mask_F))
    synthetic = replace(synthetic, store=replace(synthetic.store, clips=clips))
    return write_corpus(tmp_path, synthetic), synthetic


def asking(pretrained: Pretrained, **over: Any) -> Params:
    params = corpus_params(picture="features", video={"encoder": "linear"}, epochs=1)
    features = {"encoder": pretrained.name, "weights": pretrained.sha256, "picture": "half", "frame_step": 1} | over
    return params.model_copy(update={"features": params.features.model_copy(update=features)})


def machine(tmp_path: Path, root: Path | None, **over: Any) -> Settings:
    return Settings(**({"work": tmp_path / "work", "weights": root, "workers": 1, "device": "cpu"} | over))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_vectors_are_the_librarys_own_image_features(weights: tuple[Path, Pretrained]) -> None:
    """CLIPModel's image features of what its own image processor makes of a picture that is not square."""
    _, pretrained = weights
    transformers = transformers_offline()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (24 + 8 * i, 60, 3), dtype=np.uint8) for i in range(3)]
    actual = ClipImages(pretrained, device="cpu").encode(pictures)
    assert pretrained.folder is not None
    model = transformers.CLIPModel.from_pretrained(pretrained.folder).eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(pretrained.folder)
    with torch.no_grad():
        pooled = model.get_image_features(**processor(images=pictures, return_tensors="pt"))
    expected = pooled if isinstance(pooled, torch.Tensor) else pooled.pooler_output
    assert actual.shape == (3, DIMS) and actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-5)
    assert np.abs(actual[0] - actual[1]).max() > 1e-3


def test_preparation_is_clips_own_arithmetic(weights: tuple[Path, Pretrained]) -> None:
    """Shortest edge to size by bicubic, centre crop, 0..1, mean and deviation of CLIP: by hand with Pillow."""
    from PIL import Image

    picture = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    prepared = ClipImages(weights[1], device="cpu").prepare(images=[picture], return_tensors="np")["pixel_values"][0]
    scaled = np.asarray(Image.fromarray(picture).resize((42, 32), Image.Resampling.BICUBIC))
    crop = scaled[:, 5:37].astype(np.float64) / 255
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    np.testing.assert_allclose(prepared, ((crop - mean) / deviation).transpose(2, 0, 1), rtol=0, atol=1e-5)


def test_without_an_encoder_the_index_says_so_and_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    params, out = corpus_params(), tmp_path / "features"
    out.mkdir()
    (out / "old.safetensors").write_bytes(b"x")
    assert "nothing to compute" in stage.encode(params, machine(tmp_path, None), tmp_path / "shards", out)
    assert sorted(contents(out)) == ["index.json", "text/index.json"]
    index = json.loads((out / "index.json").read_text())
    assert index["encoder"] is None and index["files"] == []
    code = "import foalnet.stages.features.encode, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
def test_the_same_bytes_resumed_repeated_and_with_more_workers(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pretrained = weights
    paths, _ = corpus
    params = asking(pretrained)
    whole, real = tmp_path / "whole", stage._dialogue
    assert stage.encode(params, machine(tmp_path, root), paths.shards, whole) == "pictures: 5 dialogues, 5 computed now"
    assert str(tmp_path) not in (whole / "index.json").read_text()
    done: list[str] = []

    def killed(encoder: Any, work: Any, entry: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(entry.path)
        real(encoder, work, entry)

    monkeypatch.setattr(stage, "_dialogue", killed)
    other = machine(tmp_path, root, work=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        stage.encode(params, other, paths.shards, tmp_path / "resumed")
    assert not (tmp_path / "resumed" / "index.json").exists()
    monkeypatch.setattr(stage, "_dialogue", real)
    kept = next((tmp_path / "other" / "features").glob("*.safetensors"))
    kept.write_bytes(kept.read_bytes()[:-1])
    assert "4 computed now" in stage.encode(params, other, paths.shards, tmp_path / "resumed")
    assert contents(tmp_path / "resumed") == contents(whole)
    two = machine(tmp_path, root, work=tmp_path / "third", workers=2)
    assert "5 computed now" in stage.encode(params, two, paths.shards, tmp_path / "two")
    assert contents(tmp_path / "two") == contents(whole)


def test_rows_stand_for_the_slots_that_pictures_would_take(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path
) -> None:
    root, pretrained = weights
    paths, synthetic = corpus
    params = asking(pretrained)
    stage.encode(params, machine(tmp_path, root), paths.shards, paths.features)
    shards = open_shards(paths.shards)
    features = open_features(paths.features, params.features, shards)
    encoder = ClipImages(pretrained, device="cpu")
    for step, max_s in ((1, 10.0), (2, 10.0), (1, 0.05)):
        train = params.train.model_copy(update={"frame_step": step, "max_s": max_s})
        store = load_store(shards, list(synthetic.labels), train, features)
        pictures = load_store(shards, list(synthetic.labels), train.model_copy(update={"picture": "half"}))
        assert store.shape.frame == (DIMS,)
        for key, clip in store.clips.items():
            other, own = pictures.clips[key].parts["video"], clip.parts["video"]
            assert own.mask_T.tolist() == other.mask_T.tolist(), key
            expected = encoder.encode(list(other.values[other.mask_T].transpose(0, 2, 3, 1)))
            np.testing.assert_allclose(own.values[own.mask_T], expected, rtol=0, atol=1e-5)
            assert not own.values[~own.mask_T].any()


def test_live_vectors_are_those_of_the_files_and_read_as_they_are(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path
) -> None:
    """What `predict` needs: a sample without a stage, from a checkpoint's facts alone, to the same clip."""
    root, pretrained = weights
    paths, _ = corpus
    params, settings = asking(pretrained), machine(tmp_path, root)
    stage.encode(params, settings, paths.shards, paths.features)
    shards = open_shards(paths.shards)
    features = open_features(paths.features, params.features, shards)
    assert features is not None
    live = LiveFeatures(features.facts, settings)
    for sample in shards.samples(["Session2"]):
        stored, _ = read_clip(sample, params.train, Ledger(), features)
        fresh, _ = read_clip(sample, params.train, Ledger(), live)
        assert np.array_equal(stored.parts["video"].values, fresh.parts["video"].values)
        assert np.array_equal(stored.parts["video"].mask_T, fresh.parts["video"].mask_T)
    with pytest.raises(MachineError, match="differently here"):
        LiveFeatures(features.facts | {"preprocessing": "0" * 64}, settings)


def test_training_reads_them_and_says_which(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path
) -> None:
    root, pretrained = weights
    paths, _ = corpus
    params, settings = asking(pretrained), machine(tmp_path, root)
    with pytest.raises(DataError, match="not found") as error:
        train_run(params, settings, paths, variant="video_only", seed=1)
    assert "features@drawn" in str(error.value)
    stage.encode(params, settings, paths.shards, paths.features)
    train_run(params, settings, paths, variant="video_only", seed=1)
    recorded = json.loads((paths.model("video_only", 1) / "train.json").read_text())
    assert len(recorded["features"]) == 64 and recorded["counts"]["video_missing"] == 5
    _, facts = load_checkpoint(paths.model("video_only", 1) / "fold-Session1.safetensors")
    assert facts["features"]["encoder"] == pretrained.name and facts["features"]["weights"] == pretrained.sha256
    assert facts["pretrained"] is None
    (paths.features / "Session1" / "000000.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="was altered"):
        train_run(params, settings, paths, variant="video_only", seed=1)


def test_what_does_not_fit_is_answered(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path
) -> None:
    root, pretrained = weights
    paths, synthetic = corpus
    settings = machine(tmp_path, root)
    params = asking(pretrained, frame_step=2)
    stage.encode(params, settings, paths.shards, paths.features)
    shards = open_shards(paths.shards)
    features = open_features(paths.features, params.features, shards)
    with pytest.raises(UsageError, match=r"multiple of features\.frame_step"):
        load_store(shards, list(synthetic.labels), params.train, features)
    for other in ({"picture": "face", "frame_step": 2}, {"frame_step": 1}, {"encoder": "clip_vit_l14"}):
        with pytest.raises(DataError, match="params require"):
            open_features(paths.features, asking(pretrained, **other).features, shards)
    stranger = write_corpus(tmp_path / "stranger", make_store(per_group=4, seed=9))
    with pytest.raises(DataError, match="computed from other shards"):
        open_features(paths.features, params.features, open_shards(stranger.shards))
    with pytest.raises(UsageError, match="wavlm_base"):
        stage.encode(asking(pretrained, encoder="wavlm_base"), settings, paths.shards, paths.features)
    with pytest.raises(MachineError, match="not ready") as error:
        stage.encode(asking(pretrained), machine(tmp_path, tmp_path / "none"), paths.shards, paths.features)
    assert "foalnet weights fetch clip_vit_b32" in str(error.value)
    tables = write_corpus(tmp_path / "tables", make_store(per_group=4, frame=(5,)))
    with pytest.raises(UsageError, match=r"features\.encoder"):
        stage.encode(asking(pretrained), settings, tables.shards, tables.features)


def test_another_picture_or_shard_is_recomputed(
    weights: tuple[Path, Pretrained], corpus: tuple[Paths, Synthetic], tmp_path: Path
) -> None:
    root, pretrained = weights
    paths, _ = corpus
    settings = machine(tmp_path, root)
    assert "5 computed" in stage.encode(asking(pretrained), settings, paths.shards, paths.features)
    assert "0 computed" in stage.encode(asking(pretrained), settings, paths.shards, paths.features)
    assert "5 computed" in stage.encode(asking(pretrained, picture="face"), settings, paths.shards, paths.features)
    changed = write_corpus(tmp_path / "b", make_store(per_group=4, seed=3))
    assert "5 computed" in stage.encode(asking(pretrained), settings, changed.shards, changed.features)
