"""Shards that were cut, altered, moved or forged: refused by name, never fewer samples in silence."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from foalnet.artifact.seal import sealed_bytes
from foalnet.core.errors import DataError, MachineError
from foalnet.core.files import sha256_bytes, sha256_file
from foalnet.shards import Sample, ShardEntry, open_shards, write_shard
from foalnet.shards.read import CheckedStream
from foalnet.shards.walk import Damage, ranges
from tests.support.corpus.samples import picture_sample
from tests.support.marks import red_when
from tests.support.sealing import write_index

KEYS = [f"Ses01F_impro01_F00{i}" for i in range(5)]
PATH = "Session1/000000.tar"


def sample(key: str) -> Sample:
    """A sample of four members, seven to nine blocks long."""
    pieces = [b"p" * 700, b"", b"q" * 300]
    return picture_sample(key, flac=b"f" * 900, face=pieces, half=pieces)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One shard of five samples with its index."""
    entry = write_shard(tmp_path / PATH, [sample(key) for key in KEYS], session="Session1", group="Ses01F_impro01")
    write_index(tmp_path, "drawn", [replace(entry, path=PATH)])
    return tmp_path


def refusal(folder: Path) -> DataError:
    """Open (and read) what must be refused; return the error, which must name shard and next command."""
    with pytest.raises(DataError) as caught:
        list(open_shards(folder).samples())
    error = caught.value
    assert error.exit_code == 3
    assert "000000.tar" in str(error)
    assert "dvc repro --force --single-item shards@drawn" in str(error.action)
    return error


@red_when("shards/check.py", "a shard that is too short is taken as far as it goes")
def test_t58_truncated_shard_at_every_block_names_shard_and_key(folder: Path) -> None:
    whole = (folder / PATH).read_bytes()
    entry = open_shards(folder).entries[0]
    cuts = [*range(0, len(whole), 256), 1, 511, 513, len(whole) - 1]
    assert len(cuts) >= 79
    for cut in cuts:
        (folder / PATH).write_bytes(whole[:cut])
        # The first key that does not lie whole before the cut; a cut in the end mark names the last key before it.
        first = next((k for k, end in zip(entry.keys, entry.ends, strict=True) if cut < end), entry.keys[-1])
        error = refusal(folder)
        assert first in str(error), cut
        assert "Ses01F_impro01" in str(error.action)
    (folder / PATH).write_bytes(whole)
    assert len(list(open_shards(folder).samples())) == 5


# What is flipped in each member -> the bytes of it.
FLIPS: dict[str, Callable[[tarfile.TarInfo], Sequence[int]]] = {
    "header": lambda member: [member.offset + inside for inside in (0, 130, 148, 156, 300)],
    "payload": lambda member: [member.offset_data + member.size // 2],
    "padding": lambda member: [member.offset_data + member.size] * (member.size % 512 > 0),
}


@red_when("shards/check.py", "a shard of the right size is taken for whole")
@pytest.mark.parametrize("what", FLIPS)
def test_t59_t60_a_flip_at_every_member_names_its_key(folder: Path, what: str) -> None:
    whole = (folder / PATH).read_bytes()
    with tarfile.open(folder / PATH) as tar:
        flips = [(place, member.name.partition(".")[0]) for member in tar for place in FLIPS[what](member)]
    assert len(flips) == (100 if what == "header" else 20)
    flips += [(len(whole) - 1, f"after its last key {KEYS[-1]}")] if what == "padding" else []
    for place, key in flips:
        damaged = bytearray(whole)
        damaged[place] ^= 0x01
        (folder / PATH).write_bytes(bytes(damaged))
        assert (f"key {key} is altered" if key in KEYS else key) in str(refusal(folder))


def forge(folder: Path, members: list[tuple[tarfile.TarInfo, bytes]], **options: object) -> None:
    """Put another tar in the shard's place and an index that vouches for its bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT, **options) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (folder / PATH).write_bytes(buffer.getvalue())
    index = json.loads((folder / "index.json").read_bytes())
    index["shards"][0] |= {"sha256": sha256_file(folder / PATH), "size": len(buffer.getvalue())}
    index["shards"][0] |= _pieces(folder / PATH, len(index["shards"][0]["keys"]))
    (folder / "index.json").write_bytes(sealed_bytes("index.json", index))


def _pieces(path: Path, keys: int) -> dict[str, list[int] | list[str]]:
    """The ends and digests of as many keys as the index names; of what is no tar at all, some that could be."""
    try:
        ends = [end for *_, end in ranges(path)]
    except Damage:
        ends = []
    ends = ends if len(ends) == keys else [512 * (i + 1) for i in range(keys)]
    data, starts = path.read_bytes(), [0, *ends]
    return {"ends": ends, "digests": [sha256_bytes(data[a:b])[:16] for a, b in zip(starts, ends, strict=False)]}


def honest() -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members as the writer lays them out."""
    return [
        (tarfile.TarInfo(f"{key}.{name}"), data) for key in KEYS for name, data in sorted(sample(key).members.items())
    ]


@red_when("shards/walk.py", "a member's end is not rounded up to a block")
def test_t61_the_forger_can_forge_what_is_right(folder: Path) -> None:
    forge(folder, honest())
    assert [s.key for s in open_shards(folder).samples()] == KEYS


def _swapped(members: list) -> list:
    return [members[1], members[0], *members[2:]]


def _interleaved(members: list) -> list:
    return [members[0], members[4], *members[1:4], *members[5:]]


def _duplicate_key(members: list) -> list:
    return [*members, *members[:4]]


def _duplicate_member(members: list) -> list:
    return [members[0], members[0], *members[1:]]


def _missing_member(members: list) -> list:
    return members[:7] + members[8:]


def _missing_key(members: list) -> list:
    return members[:8] + members[12:]


def _extra_key(members: list) -> list:
    return [*members, *[(tarfile.TarInfo(i.name.replace("F000", "F009")), d) for i, d in members[:4]]]


def _renamed(name: str):
    def change(members: list) -> list:
        return [(tarfile.TarInfo(name), members[0][1]), *members[1:]]

    change.__name__ = f"named_{name[:20]}"
    return change


def _typed(kind: bytes):
    def change(members: list) -> list:
        info = tarfile.TarInfo(members[2][0].name)
        info.type, info.linkname = kind, "/etc/passwd"
        return [*members[:2], (info, b""), *members[3:]]

    change.__name__ = f"type_{kind!r}"
    return change


@red_when("shards/walk.py", "every type of member is a plain file")
@pytest.mark.parametrize(
    "change",
    [
        _swapped,
        _interleaved,
        _duplicate_key,
        _duplicate_member,
        _missing_member,
        _missing_key,
        _extra_key,
        _renamed("Ses01F_impro01.F000.face.mjpg"),
        _renamed("/etc/Ses01F_impro01_F000.face.mjpg"),
        _renamed("../Ses01F_impro01_F000.face.mjpg"),
        _renamed("..face.mjpg"),
        _renamed(".face.mjpg"),
        _renamed("Ses01F_impro01_F000"),
        _renamed("Ses01F_impro01_F000.FACE.MJPG"),
        _renamed("__Ses01F__.face.mjpg"),
        _renamed("n" * 100 + "/" + "m" * 95 + ".flac"),
        *[_typed(kind) for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"L", b"\0")],
    ],
    ids=lambda change: change.__name__,
)
def test_t61_a_forged_tar_is_refused_even_where_the_index_vouches_for_it(folder: Path, change) -> None:
    forge(folder, change(honest()))
    assert "refused" in str(refusal(folder))


@red_when("shards/check.py", "any members make a sample")
@pytest.mark.parametrize("extension", ["pkl", "pyd", "pickle", "pth", "npz", "video.npz"])
def test_t62_a_pickle_member_is_refused(folder: Path, extension: str) -> None:
    evil = b"cos\nsystem\n(S'touch owned'\ntR."
    members = honest()
    forge(folder, [*members[:4], (tarfile.TarInfo(f"{KEYS[0]}.{extension}"), evil), *members[4:]])
    assert "refused" in str(refusal(folder))
    assert not Path("owned").exists()


@red_when("shards/walk.py", "what follows the first empty block is not looked at")
def test_t61_compressed_or_extended_tars_are_refused(folder: Path) -> None:
    import gzip

    whole = (folder / PATH).read_bytes()
    entry = asdict(open_shards(folder).entries[0])
    for data in (gzip.compress(whole), b"", b"\0" * 10240, whole + b"\0" * 10240 + b"x" * 10240, whole[:-512]):
        (folder / PATH).write_bytes(data)
        changed = entry | {"sha256": sha256_file(folder / PATH), "size": max(len(data), entry["ends"][-1] + 1)}
        write_index(folder, "drawn", [ShardEntry(**changed)])
        assert Path(PATH).name in str(refusal(folder))


@red_when("shards/read.py", "what the metadata declare is not compared")
def test_t61_metadata_that_declares_other_members_is_refused(folder: Path) -> None:
    for meta in (
        {"key": KEYS[0], "video": None, "features": {"dims": 1, "frames": 1}},
        {"key": KEYS[0], "video": None, "features": None},
        {"key": "other", "video": {"times_s": []}, "features": None},
        {"key": KEYS[0], "video": {"times_s": [0.0]}, "features": None},
        [],
        None,
    ):
        members = honest()
        members[3] = (members[3][0], json.dumps(meta).encode())
        forge(folder, members)
        assert refusal(folder).utterance == KEYS[0]


@red_when("shards/check.py", "files that the index does not list are not looked for")
def test_t63_an_extra_shard_is_refused(folder: Path) -> None:
    (folder / "Session1" / "000001.tar").write_bytes((folder / PATH).read_bytes())
    with pytest.raises(DataError, match=r"000001\.tar: the file is not in the index"):
        open_shards(folder)


@red_when("shards/check.py", "a shard that is not there has no fault")
def test_t63_a_missing_shard_is_named_with_its_dialogue(folder: Path) -> None:
    (folder / PATH).unlink()
    error = refusal(folder)
    assert "missing" in str(error) and "Ses01F_impro01" in str(error.action) and KEYS[0] in str(error)


@red_when("shards/check.py", "the first bad shard ends the look")
def test_t63_every_bad_shard_is_listed(folder: Path) -> None:
    entry = write_shard(folder / "Session2/000000.tar", [sample("Ses02F_a_F000")], session="Session2", group="Ses02F_a")
    first = json.loads((folder / "index.json").read_bytes())["shards"][0]
    write_index(folder, "drawn", [ShardEntry(**first), replace(entry, path="Session2/000000.tar")])
    (folder / PATH).unlink()
    (folder / "Session2/000000.tar").write_bytes(b"")
    text = str(refusal(folder))
    assert "Session1/000000.tar" in text and "Session2/000000.tar" in text and "Ses02F_a" in text


def test_a_shard_changed_between_check_and_read_is_no_shorter_data_set(folder: Path) -> None:
    shards = open_shards(folder)
    whole = (folder / PATH).read_bytes()
    (folder / PATH).write_bytes(whole[: shards.entries[0].ends[1]])
    with pytest.raises(DataError, match="changed while it was read"):
        list(shards.samples())


@red_when("shards/read.py", "the digest of a key's bytes is not compared")
@pytest.mark.parametrize("place", [600, 3000, -12_000], ids=["metadata", "payload", "later"])
def test_t60_a_bit_that_turns_between_check_and_read_is_seen_by_what_reads(folder: Path, place: int) -> None:
    """Minutes lie between the two on a large corpus; no sample of other bytes is ever given."""
    shards = open_shards(folder)
    whole = [each.members for each in shards.samples()]
    data = bytearray((folder / PATH).read_bytes())
    data[place] ^= 1
    (folder / PATH).write_bytes(data)
    given = []
    with pytest.raises(DataError, match="changed while it was read") as caught:
        given.extend(each.members for each in shards.samples())
    assert given == whole[: len(given)] and caught.value.utterance == KEYS[len(given)]


@red_when("shards/read.py", "what the reader makes of a damaged header is raised as it is")
def test_t59_a_header_that_turns_between_check_and_read_is_no_fault_of_ours(folder: Path) -> None:
    shards = open_shards(folder)
    data = bytearray((folder / PATH).read_bytes())
    data[130] ^= 1
    (folder / PATH).write_bytes(data)
    with pytest.raises(DataError, match="changed while it was read: expected 5 samples, 0 were intact"):
        list(shards.samples())


def test_a_disk_that_fails_while_a_shard_is_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = open_shards(folder)
    real = CheckedStream.read

    def failing(self: CheckedStream, size: int = -1) -> bytes:
        if self.whole:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, size)

    monkeypatch.setattr(CheckedStream, "read", failing)
    with pytest.raises(MachineError, match=r"cannot be read: Input/output error") as caught:
        list(shards.samples())
    assert caught.value.file == str(folder / PATH)
