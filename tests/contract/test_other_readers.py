"""Hugging Face `datasets` and plain `webdataset` read the shards, by the lines of docs/staging.md, as we do."""

from __future__ import annotations

import io
import itertools
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile

from foalnet.config.blocks import Shards
from foalnet.media import read_jpeg
from foalnet.shards import Sample, open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import CLIPS, clips_tree, ravdess_tree
from tests.support.projects import REPOSITORY

PAGE = (REPOSITORY / "docs" / "staging.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NEEDED = "needs the extra `test`: pip install -e '.[test]'"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no library connect to anything."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Dialogues with and without a picture."""
    home = tmp_path_factory.mktemp("pictures")
    root = clips_tree(home / "root")
    (root / "Session1" / "dialog" / "avi" / "DivX" / f"{CLIPS[1]}.avi").unlink()
    place = Place(home=home, root=root, shards=Shards(detector="fixed"))
    place.stage()
    return place


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A table of features without a row for the first utterance."""
    home = tmp_path_factory.mktemp("tables")
    root = ravdess_tree(home / "root", extension="wav")
    table = next(root.glob("*.tsv"))
    header, _, *rows = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    classes = {"neutral": ["neutral", "calm"], "angry": ["angry"]}
    place = Place(home=home, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))
    place.stage()
    return place


def blocks(place: Place, *containing: str) -> dict[str, Any]:
    """Run the page's block of Python that contains these words on a place's shards; return its names."""
    (code,) = (block for block in BLOCKS if all(word in block for word in containing))
    names: dict[str, Any] = {}
    exec(code.replace("data/drawn/shards", str(place.out)), names)
    return names


def the_same(row: dict[str, Any], sample: Sample) -> None:
    """Compare a row of another reader with our own, decoded."""
    assert row["__key__"] == sample.key
    meta = sample.meta
    assert (row["json"]["key"], row["json"]["label"], row["json"]["text"]) == (meta.key, meta.label, meta.text)
    wave_N, rate_hz = soundfile.read(io.BytesIO(row["flac"]), dtype="float32")
    assert rate_hz == sample.sound()[1] and np.array_equal(wave_N, sample.sound()[0])
    if meta.video is None:
        rows_FD = np.asarray(row["video.npy"], np.float32).reshape(meta.features.frames, meta.features.dims)  # type: ignore[union-attr]
        assert np.array_equal(rows_FD, sample.table())
        return
    for name in ("times_s", "boxes", "scores", "sources", "reasons", "area"):
        assert row["json"]["video"][name] == getattr(meta.video, name)
    for stream in ("face", "half"):
        offsets = row["json"]["video"][f"{stream}_offsets"]
        cut = [row[f"{stream}.mjpg"][a:b] for a, b in itertools.pairwise(offsets)]
        ours = sample.pictures(stream)  # type: ignore[arg-type]
        assert len(cut) == len(ours)
        for theirs, own in zip(cut, ours, strict=True):
            assert np.array_equal(read_jpeg(theirs), read_jpeg(own)) if own else theirs == b""


def all_the_same(rows: Iterator[dict[str, Any]], place: Place) -> None:
    samples = {sample.key: sample for sample in open_shards(place.out).samples()}
    seen = []
    for row in rows:
        the_same(row, samples[row["__key__"]])
        seen.append(row["__key__"])
    assert sorted(seen) == sorted(samples) and len(seen) > 3


@pytest.mark.parametrize("corpus", ["pictures", "tables"])
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets(
    corpus: str, streaming: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason=NEEDED)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    place = request.getfixturevalue(corpus)
    names = blocks(place, "load_dataset")
    rows = names["rows"]
    if not streaming:
        rows = datasets.load_dataset(
            "webdataset", data_files=str(place.out / "*" / "*.tar"), split="train", features=names["features"]
        )
        assert len(rows) == len(open_shards(place.out).keys)
    all_the_same(rows, place)


@pytest.mark.parametrize("corpus", ["pictures", "tables"])
def test_plain_webdataset(corpus: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(corpus)
    all_the_same(blocks(place, "webdataset.WebDataset")["rows"], place)


def test_the_pages_cut_of_a_stream(pictures: Place) -> None:
    row = next(iter(blocks(pictures, "webdataset.WebDataset")["rows"]))
    (code,) = (block for block in BLOCKS if "face_offsets" in block)
    names: dict[str, Any] = {"row": row}
    exec(code, names)
    sample = next(s for s in open_shards(pictures.out).samples() if s.key == row["__key__"])
    assert names["pictures"] == sample.pictures("face")
