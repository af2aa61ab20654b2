"""Shards: every reader returns the written bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foalnet.artifact.seal import sealed_bytes
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes
from foalnet.shards import Sample, ShardEntry, open_shards, read_index, split_frames, valid_key, write_shard
from tests.support.corpus.samples import picture_sample, table_sample
from tests.support.marks import red_when
from tests.support.sealing import write_index


def sample(key: str, *, frames: int = 3, features: bool = False, filler: bytes = b"x") -> Sample:
    """A sample of the correct shape; its content depends on the key."""
    flac = f"sound of {key}".encode() * 40
    if features:
        return table_sample(key, flac=flac, rows_FD=np.zeros((1, 2), np.float32))
    pieces = [f"{key}-{i}".encode() + filler * (i * 200) for i in range(frames)]
    return picture_sample(key, flac=flac, face=pieces, half=pieces)


def build(folder: Path, corpus: str = "drawn") -> list[ShardEntry]:
    """Two sessions, three shards, with an index."""
    plan = {
        "Session1/000000.tar": ("Session1", "Ses01F_impro01", ["Ses01F_impro01_F000", "Ses01F_impro01_M000"]),
        "Session1/000001.tar": ("Session1", "Ses01M_impro01", ["Ses01M_impro01_F000"]),
        "Session2/000000.tar": ("Session2", "Ses02F_script01", ["Ses02F_script01_F000", "Ses02F_script01_M000"]),
    }
    entries = []
    for path, (session, group, keys) in plan.items():
        entry = write_shard(folder / path, [sample(key) for key in keys], session=session, group=group)
        entries.append(replace(entry, path=path))
    write_index(folder, corpus, entries)
    return entries


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    build(tmp_path)
    shards = open_shards(tmp_path)
    got = {s.key: s for s in shards.samples()}
    assert list(got) == [key for entry in shards.entries for key in entry.keys]
    assert shards.keys == sorted(got)
    for key, back in got.items():
        assert back.members == sample(key).members
        assert back.shard in {e.path for e in shards.entries}


def test_sessions_choose_shards(tmp_path: Path) -> None:
    build(tmp_path)
    keys = [s.key for s in open_shards(tmp_path).samples(["Session2"])]
    assert keys == ["Ses02F_script01_F000", "Ses02F_script01_M000"]


def test_features_have_their_own_members(tmp_path: Path) -> None:
    entry = write_shard(tmp_path / "s/000000.tar", [sample("a", features=True)], session="s", group="a")
    write_index(tmp_path, "ravdess", [replace(entry, path="s/000000.tar")])
    (only,) = open_shards(tmp_path).samples()
    assert list(only.members) == ["flac", "json", "video.npy"]


def test_plain_webdataset_reads_them(tmp_path: Path) -> None:
    import webdataset

    entries = build(tmp_path)
    urls = [str(tmp_path / entry.path) for entry in entries]
    read = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert [r["__key__"] for r in read] == [key for entry in entries for key in entry.keys]
    for r in read:
        assert {k: v for k, v in r.items() if not k.startswith("__")} == sample(r["__key__"]).members


def test_they_are_the_bytes_of_webdatasets_own_writer(tmp_path: Path) -> None:
    from webdataset.writer import TarWriter

    samples = [sample("a"), sample("a" * 86, filler=b"y" * 30_000), sample("c", features=True)]
    write_shard(tmp_path / "ours.tar", samples, session="s", group="g")
    with (tmp_path / "theirs.tar").open("wb") as handle:
        writer = TarWriter(handle, encoder=False, mtime=0, compress=False)
        for each in samples:
            writer.write({"__key__": each.key, **each.members})
        writer.close()
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


def test_same_samples_same_bytes_whatever_the_order_and_umask(tmp_path: Path) -> None:
    samples = [sample("b"), sample("a"), sample("c", features=True)]
    before = os.umask(0o077)
    try:
        one = write_shard(tmp_path / "one.tar", samples, session="s", group="g")
    finally:
        os.umask(before)
    shuffled = [replace(s, members=dict(reversed(s.members.items()))) for s in reversed(samples)]
    two = write_shard(tmp_path / "two.tar", shuffled, session="s", group="g")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert one.keys == ["a", "b", "c"] and replace(two, path=one.path) == one


@pytest.mark.parametrize("key", ["a.b", "a/b", "", "ä", "a b", "../a", "k" * 91, "a\n"])
def test_a_key_that_others_would_misread_is_refused(tmp_path: Path, key: str) -> None:
    assert not valid_key(key)
    with pytest.raises(DataError, match="not a valid sample name"):
        write_shard(tmp_path / "a.tar", [sample(key)], session="s", group="g")
    assert list(tmp_path.iterdir()) == []


def test_two_samples_of_one_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same key"):
        write_shard(tmp_path / "a.tar", [sample("a"), sample("b"), sample("a")], session="s", group="g")


@red_when("shards/write.py", "any member is written")
@pytest.mark.parametrize("extra", ["pkl", "pyd", "pth", "cls", "jpg"])
def test_t62_a_pickle_member_is_not_written(tmp_path: Path, extra: str) -> None:
    bad = sample("a")
    bad.members[extra] = b"cos\nsystem\n(S'true'\ntR."
    with pytest.raises(DataError, match="not allowed"):
        write_shard(tmp_path / "a.tar", [bad], session="s", group="g")


def test_no_index_means_no_shards(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "index.json").unlink()
    with pytest.raises(DataError, match="no index"):
        open_shards(tmp_path)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=150, deadline=None)
@given(
    where=st.lists(st.sampled_from(["shards", 0, "path", "keys", "count", "ends", "schema", "corpus"]), max_size=3),
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_an_index_of_any_other_shape_is_a_typed_error(tmp_path_factory, where, value) -> None:
    folder = tmp_path_factory.mktemp("index")
    entry = {"path": "s/000000.tar", "session": "s", "group": "g", "sha256": "0" * 64, "size": 10240, "count": 1}
    entry |= {"keys": ["a"], "ends": [1024], "digests": ["0" * 16]}
    data = {"schema": 2, "corpus": "drawn", "shards": [entry]}
    place = data
    try:
        for step in where[:-1]:
            place = place[step]
        if where:
            place[where[-1]] = value
        else:
            data = value
    except (KeyError, TypeError, IndexError):
        return
    data = json.loads(json.dumps(data))
    (folder / "index.json").write_bytes(
        sealed_bytes("index.json", data) if isinstance(data, dict) else json_bytes(data)
    )
    try:
        read_index(folder)
    except DataError as error:
        assert error.action


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', "\udc80", "[" * 100_000])
def test_an_index_that_is_no_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError):
        read_index(tmp_path)


def test_frames_are_cut_out_of_their_stream() -> None:
    assert split_frames(b"aabbbc", [0, 2, 2, 5, 6]) == [b"aa", b"", b"bbb", b"c"]


def test_neither_import_nor_writing_loads_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.unit.test_shards import sample\n"
        "from foalnet.shards import write_shard\n"
        "write_shard(Path(sys.argv[1]), [sample('a')], session='s', group='g')\n"
        "sys.exit('torch' in sys.modules or 'webdataset' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tar")]).returncode == 0
