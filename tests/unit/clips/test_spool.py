"""The spool returns pieces as they were put in, moves to disk when they are many, and reports a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.clips import spool as module
from foalnet.clips.spool import Members, Pieces, Spool
from foalnet.core.errors import MachineError

MANY = st.lists(st.lists(st.binary(max_size=40), max_size=6), max_size=6)


@pytest.mark.parametrize("limit", [1, 2**20])
@given(groups=MANY)
def test_pieces_come_back_as_they_went_in(limit: int, groups: list[list[bytes]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_MEMORY_BYTES", limit)
        spool = Spool()
        returned = [spool.put(iter(pieces)) for pieces in groups]
    for pieces, given_back in zip(groups, returned, strict=True):
        assert list(given_back) == pieces and given_back.joined() == b"".join(pieces)
        assert len(given_back) == len(pieces) and given_back[:2] == pieces[:2]
        assert [given_back.joined()[a:b] for a, b in zip(given_back.offsets, given_back.offsets[1:], strict=False)] == (
            pieces
        )


def test_equality_depends_on_content_not_on_place() -> None:
    one, other = Spool(), Spool()
    other.put([b"before"])
    assert one.put([b"a", b"", b"bc"]) == other.put([b"a", b"", b"bc"])
    assert one.put([b"ab", b"c"]) != one.put([b"a", b"bc"])
    assert Pieces.empty(3) == one.put([b""] * 3) and list(Pieces.empty(2)) == [b"", b""]
    with pytest.raises(IndexError):
        Pieces.empty(2)[2]


def test_large_content_is_kept_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 100)
    spool = Spool(tmp_path)
    small = spool.put([b"x" * 60])
    assert not _on_disk(tmp_path)
    large = spool.put([b"y" * 60])
    assert _on_disk(tmp_path) and list(tmp_path.iterdir()) == []
    assert small.joined() == b"x" * 60 and large.joined() == b"y" * 60
    del spool, small, large
    assert not _on_disk(tmp_path)


def _on_disk(folder: Path) -> bool:
    """Return whether this process has a file open below `folder`."""
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return any(target.startswith(str(folder)) for target in links)


def test_a_full_disk_is_said_with_its_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    class Full:
        def seek(self, *_: int) -> int:
            return 0

        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

    vars(spool)["_file"] = Full()
    with pytest.raises(MachineError, match="No space left on device") as error:
        spool.put([b"a"])
    assert error.value.file == str(tmp_path) and "free space" in str(error.value) and error.value.exit_code == 4


def test_members_are_read_on_access() -> None:
    spool = Spool()
    members = Members({"json": b"{}", "face.mjpg": spool.put([b"a", b"b"])})
    assert list(members) == ["json", "face.mjpg"] and len(members) == 2
    assert dict(members) == {"json": b"{}", "face.mjpg": b"ab"}
