"""Extracted features are those that staging stores and the model computes from, and both files have the same values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foalnet.config import Settings
from foalnet.config.blocks import Features, Shards
from foalnet.core.errors import DataError, UsageError, printable
from foalnet.evidence.metrics import DECIMALS, softmax
from foalnet.media import read_jpeg
from foalnet.nets.masks import masked_mean
from foalnet.predict import Request
from foalnet.predict.extract import extract, of_model, of_params
from foalnet.predict.request import folders_of
from foalnet.shards import open_shards
from foalnet.stages.features.clip import ClipImages, encode_sample
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import corpus_params
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import write_clip
from tests.support.hub import needs_transformers, recorded
from tests.support.models import FACE_PX, model_of

SETTINGS = Settings(device="cpu", threads=1)
NEEDED = "needs the extra `parquet`: pip install -e '.[parquet]'"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with picture and sound."""
    return write_clip(tmp_path_factory.mktemp("clips") / "root" / "a.mp4", seconds=1.5)


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def by_model(clip: Path, home: Path, variant: str = "foal", **given: Any) -> tuple[Any, Path, dict[str, Any]]:
    """Extract one person of a clip by an untrained model; return model, folder and row."""
    model, request = model_of(home / "model", variant), Request(clip=clip, **given)
    (folders,) = folders_of([request], home / "out")
    (row,) = extract(of_model(model), request, folders, parquet=False)
    return model, folders[0], row


@pytest.mark.parametrize("detector", ["fixed", "haar"])
def test_by_a_corpus_they_are_what_staging_stored(tmp_path: Path, clip: Path, detector: str) -> None:
    root = clip.parent
    write_wav(root / "other.wav", 0.5)
    write(root / "clips.csv", "path,label,speaker\na.mp4,sad,ada\nother.wav,glad,ben\n")
    place = Place(
        home=tmp_path, root=root, reader="table", table="clips.csv", classes={"sad": ["sad"], "glad": ["glad"]},
        shards=Shards(detector=detector),
    )  # fmt: skip
    place.stage()
    sample = next(sample for sample in open_shards(place.out).samples() if sample.meta.label == "sad")
    request = Request(clip=clip)
    (folders,) = folders_of([request], tmp_path / "out")
    (row,) = extract(of_params(place.params, SETTINGS), request, folders, parquet=False)
    held, video = arrays(folders[0]), sample.meta.video
    assert video is not None
    assert np.array_equal(held["sound"], sample.sound()[0]) and row["sound"]["rate_hz"] == sample.sound()[1]
    for name in ("times_s", "boxes", "scores", "sources", "reasons"):
        assert held[name].tolist() == getattr(video, name), name
    for stream in ("face", "half"):
        jpegs = sample.pictures(stream)  # type: ignore[arg-type]
        assert held[f"{stream}_mask"].tolist() == [bool(jpeg) for jpeg in jpegs]
        for frame, jpeg in zip(held[stream], jpegs, strict=True):
            assert np.array_equal(frame, read_jpeg(jpeg) if jpeg else np.zeros_like(frame))
    assert row["frames"]["total"] == len(video.times_s) and row["frames"]["area"] == video.area


def test_the_vectors_are_those_from_which_the_model_predicts(tmp_path: Path, clip: Path) -> None:
    model, folder, row = by_model(clip, tmp_path, "audio_only")
    held = arrays(folder)
    vectors, mask = held["audio_vectors"], held["audio_vectors_mask"]
    assert vectors.dtype == np.float32 and row["arrays"]["audio_vectors"]["shape"] == list(vectors.shape)
    net = model._net
    with torch.no_grad():
        pooled = masked_mean(torch.from_numpy(vectors)[None], torch.from_numpy(mask)[None])
        probability = softmax(net.head(net.projection(pooled)).numpy())[0].round(DECIMALS)
    (answer,) = model.predict(clip)
    assert np.allclose(probability, list(answer.probabilities.values()), atol=2e-6)
    assert "face" not in held, "the model uses no picture, so none is staged"


def test_the_frozen_encoder_of_a_corpus_gives_the_vectors_of_the_stage(tmp_path: Path, clip: Path) -> None:
    needs_transformers()
    pretrained = recorded(tmp_path / "weights", "clip_vit_b32")
    settings = Settings(device="cpu", threads=1, weights=tmp_path / "weights")
    features = Features(encoder=pretrained.name, weights=pretrained.sha256, picture="half", frame_step=4)
    params = corpus_params().model_copy(update={"features": features, "shards": Shards(detector="fixed")})
    request, source = Request(clip=clip), of_params(params, settings)
    (folders,) = folders_of([request], tmp_path / "out")
    list(extract(source, request, folders, parquet=False))
    held = arrays(folders[0])
    (staged,) = source.stage(request)
    rows_FD, mask_F = encode_sample(ClipImages(pretrained, device="cpu"), staged.sample, features)
    assert np.array_equal(held["picture_vectors"], rows_FD) and np.array_equal(held["picture_vectors_mask"], mask_F)
    assert len(rows_FD) == len(held["times_s"][::4])


def test_a_fused_model_has_vectors_of_both(tmp_path: Path, clip: Path) -> None:
    _, folder, row = by_model(clip, tmp_path)
    held = arrays(folder)
    assert {"audio_vectors", "video_vectors", "sound", "face", "half"} <= set(held)
    assert held["face"].shape == (row["frames"]["total"], FACE_PX, FACE_PX, 3)
    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    assert facts["clip"] == "a.mp4" and facts["made_by"]["model"]["variant"] == "foal"
    assert set(facts["arrays"]) == set(held)
    for name, each in held.items():
        assert facts["arrays"][name] == {"dtype": str(each.dtype), "shape": list(each.shape)}
    assert str(tmp_path) not in json.dumps(facts) and str(clip.parent) not in json.dumps(facts)


def test_a_model_of_feature_tables_encodes_the_sound_alone(tmp_path: Path, clip: Path) -> None:
    model, request = model_of(tmp_path / "model", frame=(6,)), Request(clip=clip)
    (folders,) = folders_of([request], tmp_path / "out")
    list(extract(of_model(model), request, folders, parquet=False))
    assert set(arrays(folders[0])) == {"sound", "audio_vectors", "audio_vectors_mask"}


def test_a_model_of_text_encodes_the_words(tmp_path: Path, clip: Path) -> None:
    _, folder, row = by_model(clip, tmp_path, "text_only", text="Well, no!")
    assert set(arrays(folder)) == {"text_vectors", "text_vectors_mask"} and row["sound"] is None


def test_a_recording_has_sound_and_no_frames(tmp_path: Path) -> None:
    voice = write_wav(tmp_path / "voice.wav", 1.0)
    _, folder, row = by_model(voice, tmp_path)
    assert set(arrays(folder)) == {"sound", "audio_vectors", "audio_vectors_mask"} and row["frames"] is None


def test_a_silent_video_has_frames_and_no_sound(tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "silent.mp4", seconds=1.0, sound=False)
    _, folder, row = by_model(silent, tmp_path)
    held = arrays(folder)
    assert "sound" not in held and "audio_vectors" not in held and row["sound"] is None
    assert {"face", "video_vectors"} <= set(held)


def test_two_people_have_a_folder_each(tmp_path: Path) -> None:
    two = write_clip(tmp_path / "two.mp4", seconds=1.0, size="640x240")
    request = Request(clip=two, people=2)
    (folders,) = folders_of([request], tmp_path / "out")
    rows = list(extract(of_model(model_of(tmp_path / "model")), request, folders, parquet=False))
    assert [folder.name for folder in folders] == ["two-left", "two-right"]
    assert [row["side"] for row in rows] == ["left", "right"]
    left, right = (arrays(folder)["half"] for folder in folders)
    assert left.shape == right.shape and not np.array_equal(left, right)


def test_parquet_has_the_values_of_npy(tmp_path: Path, clip: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason=NEEDED)
    request = Request(clip=clip)
    (folders,) = folders_of([request], tmp_path / "out")
    list(extract(of_model(model_of(tmp_path / "model")), request, folders, parquet=True))
    held = arrays(folders[0])
    frames = parquet.read_table(folders[0] / "frames.parquet").to_pydict()
    assert frames["frame"] == list(range(len(held["times_s"])))
    assert frames["time_s"] == held["times_s"].tolist() and frames["source"] == held["sources"].tolist()
    boxes = [frames[edge] for edge in ("left", "top", "right", "bottom")]
    assert np.array_equal(np.array(boxes).T, held["boxes"])
    for name in ("audio", "video"):
        steps = parquet.read_table(folders[0] / f"{name}_vectors.parquet").to_pydict()
        assert np.array_equal(np.array(steps["vector"], np.float32), held[f"{name}_vectors"])
        assert steps["valid"] == held[f"{name}_vectors_mask"].tolist()


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path, clip: Path) -> None:
    _, one, _ = by_model(clip, tmp_path / "one")
    _, other, _ = by_model(clip, tmp_path / "other")
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_a_clip_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    request = Request(clip=write(tmp_path / "text.mp4", "no media"))
    (folders,) = folders_of([request], tmp_path / "out")
    with pytest.raises(DataError):
        list(extract(of_model(model_of(tmp_path / "model")), request, folders, parquet=False))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [b"new\nline.wav", b"a;b|$(c).wav", b"-dash.wav", b"not UTF-8 \xff.wav"])
def test_odd_names_of_clips_become_folders(tmp_path: Path, name: bytes) -> None:
    voice = write_wav(tmp_path / "voice.wav", 0.5)
    odd = voice.rename(tmp_path / os.fsdecode(name))
    _, folder, _ = by_model(odd, tmp_path, "audio_only")
    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    assert facts["clip"] == printable(odd.name) and facts["clip"].isprintable()


def test_folders_that_clash_are_refused_before_any_work(tmp_path: Path) -> None:
    one, other = Request(clip=Path("a/001.wav")), Request(clip=Path("b/001.mp4"))
    with pytest.raises(UsageError, match=r"a/001\.wav and b/001\.mp4"):
        folders_of([one, other], tmp_path)
    (tmp_path / "001").mkdir()
    with pytest.raises(UsageError, match="exists"):
        folders_of([one], tmp_path)


@pytest.mark.parametrize("name", ["..wav", "...", ".wav"])
def test_no_name_of_a_clip_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    ((folder,),) = folders_of([Request(clip=Path("clips") / name)], tmp_path / "out")
    assert folder.resolve().parent == (tmp_path / "out").resolve()
