"""An export has the bytes of the shards, opens in other programs, and names the licence that binds."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile

from foalnet.config.blocks import Shards
from foalnet.export import export_corpus, need_empty
from foalnet.shards import Sample, ShardSet, open_shards
from tests.support.corpus.samples import picture_sample
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import write_shards
from tests.support.corpus.trees import CLIPS, clips_tree, ravdess_tree

LICENCE = "by agreement with its owners"
NEEDED = "needs the extra `test`: pip install -e '.[test]'"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Dialogues with and without a picture."""
    home = tmp_path_factory.mktemp("pictures")
    root = clips_tree(home / "root")
    (root / "Session1" / "dialog" / "avi" / "DivX" / f"{CLIPS[1]}.avi").unlink()
    place = Place(home=home, root=root, shards=Shards(detector="fixed"))
    place.stage()
    return open_shards(place.out)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Rows of a feature table in place of pictures."""
    home = tmp_path_factory.mktemp("tables")
    root = ravdess_tree(home / "root", extension="wav")
    classes = {"neutral": ["neutral", "calm"], "angry": ["angry"]}
    place = Place(home=home, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))
    place.stage()
    return open_shards(place.out)


def written(shards: ShardSet, out: Path, form: str, *, drawn: bool = False) -> Path:
    if form == "hf":
        pytest.importorskip("pyarrow", reason=NEEDED)
    need_empty(out)
    assert export_corpus(shards, out, form, licence=LICENCE, drawn=drawn) == len(shards.keys)
    return out


def lines(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text("utf-8").splitlines()]
    return {row["key"]: row for row in rows}


def facts_of(sample: Sample) -> dict[str, Any]:
    """Return the metadata of a sample, without the offsets of its streams."""
    meta: dict[str, Any] = json.loads(sample.members["json"])
    if "video" in meta:
        meta["video"] = {name: each for name, each in meta["video"].items() if not name.endswith("_offsets")}
    return meta


def test_a_folder_has_the_bytes_of_the_shards_and_nothing_else(pictures: ShardSet, tmp_path: Path) -> None:
    out = written(pictures, tmp_path / "out", "folder")
    rows, files = lines(out), {"metadata.jsonl", "README.md", "LICENCE.txt"}
    for sample in pictures.samples():
        row = rows[sample.key]
        paths = row.pop("files")
        assert row == facts_of(sample)
        assert (out / paths["sound"]).read_bytes() == sample.members["flac"]
        files.add(paths["sound"])
        for stream in ("face", "half"):
            jpegs = [b"" if path is None else (out / path).read_bytes() for path in paths[stream]]
            assert jpegs == sample.pictures(stream)  # type: ignore[arg-type]
            files |= {path for path in paths[stream] if path is not None}
        assert set(paths) == {"sound", "face", "half"}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == files
    assert any(None in row["files"]["face"] for row in lines(out).values()), "a dialogue has no picture"


def test_a_folder_of_a_table_has_its_rows(tables: ShardSet, tmp_path: Path) -> None:
    out = written(tables, tmp_path / "out", "folder")
    rows = lines(out)
    for sample in tables.samples():
        paths = rows[sample.key]["files"]
        assert set(paths) == {"sound", "table"}
        assert np.array_equal(np.load(out / paths["table"]), sample.table())
        wave_N, rate_hz = soundfile.read(out / paths["sound"], dtype="float32")
        assert rate_hz == sample.sound()[1] and np.array_equal(wave_N, sample.sound()[0])


@pytest.mark.parametrize("form", ["folder", "hf"])
def test_the_same_shards_give_the_same_bytes(pictures: ShardSet, tmp_path: Path, form: str) -> None:
    one, other = (written(pictures, tmp_path / name, form) for name in ("one", "other"))
    assert {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()} == {
        p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("form", ["folder", "hf"])
def test_the_licence_stands_next_to_the_files(pictures: ShardSet, tmp_path: Path, form: str) -> None:
    out = written(pictures, tmp_path / "out", form)
    for name in ("LICENCE.txt", "README.md"):
        text = (out / name).read_text("utf-8")
        assert LICENCE in text and "tiny" in text and "personal data" in text
    drawn = written(pictures, tmp_path / "drawn", form, drawn=True)
    assert "no person" in (drawn / "LICENCE.txt").read_text("utf-8")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return `datasets` with a cache of its own, which connects to nothing."""
    datasets = pytest.importorskip("datasets", reason=NEEDED)

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


@pytest.mark.parametrize("corpus", ["pictures", "tables"])
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_opens_the_folder(
    corpus: str, streaming: bool, offline: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shards: ShardSet = request.getfixturevalue(corpus)
    out = written(shards, tmp_path / "out", "hf")
    rows = offline.load_dataset(str(out), split="train", streaming=streaming)
    images = offline.List(offline.Image())
    assert rows.features["face"] == images and rows.features["half"] == images
    samples, seen = {sample.key: sample for sample in shards.samples()}, []
    undecoded = rows.cast_column("face", offline.List(offline.Image(decode=False)))
    undecoded = undecoded.cast_column("half", offline.List(offline.Image(decode=False)))
    for row in undecoded:
        sample = samples[row["key"]]
        seen.append(sample.key)
        assert row["sound"] == sample.members["flac"]
        meta = facts_of(sample)
        assert {name: row[name] for name in meta} == meta
        if corpus == "tables":
            assert row["face"] is None and row["video"] is None
            assert np.array_equal(np.asarray(row["table"], np.float32), sample.table())
            continue
        for stream in ("face", "half"):
            jpegs = [b"" if picture is None else picture["bytes"] for picture in row[stream]]
            assert jpegs == sample.pictures(stream)  # type: ignore[arg-type]
    assert sorted(seen) == sorted(samples)
    if corpus == "pictures":
        first = next(iter(rows))
        assert first["face"][0].size == (64, 64)
        soundfile.read(io.BytesIO(first["sound"]))


def test_frames_without_a_picture_keep_their_place(tmp_path: Path, offline: Any) -> None:
    """Every file has the same columns, whatever its utterances lack."""
    from foalnet.media import flac_bytes, jpeg_bytes

    flac, jpeg = flac_bytes(np.zeros(800, np.float32), 16000), jpeg_bytes(np.zeros((8, 8, 3), np.uint8), 90)
    some = picture_sample("some", flac=flac, face=[b"", jpeg, b""], half=[jpeg, b"", jpeg])
    none = picture_sample("none", flac=flac, face=[], half=[])
    write_shards(tmp_path / "shards", [(some, "Session1"), (none, "Session2")])
    out = written(open_shards(tmp_path / "shards"), tmp_path / "out", "hf")
    rows = {row["key"]: row for row in offline.load_dataset(str(out), split="train")}
    assert [picture is None for picture in rows["some"]["face"]] == [True, False, True]
    assert [picture is None for picture in rows["some"]["half"]] == [False, True, False]
    assert rows["none"]["face"] == [] and rows["none"]["video"]["times_s"] == []
