"""The parts of `foalnet verify`: DVC's digest of a folder, the graph filled in, what a link says, exit codes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time
from pathlib import Path
from typing import BinaryIO

import pytest
import yaml

from foalnet.artifact import digests
from foalnet.artifact.digests import Digest, Reader, digest_of, parse_listing
from foalnet.artifact.dvcrepo import opened
from foalnet.checks.verify.lock import stages_of
from foalnet.checks.verify.store import Store
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.stages.chain import link as link_of
from foalnet.stages.link import Link, absent, code_of, differs, first_few, mismatch, ok, short_digest, skipped


@pytest.mark.parametrize("data", [b"{}x", b"[1]", b'[{"md5": "a"}]', b"3", b"\xff"])
def test_what_is_no_list_of_a_folder_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_listing(data)


def test_a_file_is_read_once_under_all_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []

    def slowly(stream: BinaryIO) -> Digest:
        readings.append(stream)
        time.sleep(0.05)
        return digest_of(stream)

    monkeypatch.setattr(digests, "digest_of", slowly)
    (tmp_path / "a").write_bytes(b"foal")
    os.link(tmp_path / "a", tmp_path / "b")
    read = Reader(workers=2).digests([tmp_path / "a", tmp_path / "b"])
    assert len(readings) == 1 and read[tmp_path / "a"] is read[tmp_path / "b"]
    assert read[tmp_path / "a"] == digest_of(io.BytesIO(b"foal"))
    assert read[tmp_path / "a"].sha256 == hashlib.sha256(b"foal").hexdigest()


def test_the_graph_is_filled_in_as_dvc_does(repository: Path) -> None:
    lock = yaml.safe_load((repository / "dvc.lock").read_text())["stages"]
    with opened(repository) as repo:
        stages = {stage.name: stage for stage in stages_of(repo, "drawn")}
    assert stages.keys() == lock.keys()
    for name, stage in stages.items():
        assert stage.recipe.cmd == lock[name]["cmd"], name
        assert set(stage.recipe.outs) == {out["path"] for out in lock[name]["outs"]}, name
    order = list(stages)
    assert order.index("draw") < order.index("shards@drawn") < order.index("train@drawn-foal-s1")
    assert stages["report@drawn"].recipe.in_git == ("reports/drawn/headline.json", "reports/drawn/metrics.json")


def test_a_folder_without_a_project_or_with_a_broken_lock_is_refused_with_a_message(
    tmp_path: Path, repository: Path
) -> None:
    with pytest.raises(UsageError, match="no DVC project"), opened(tmp_path):
        pass
    (tmp_path / ".dvc").mkdir()
    with opened(tmp_path) as repo, pytest.raises(UsageError, match="file not found"):
        stages_of(repo, "drawn")
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((repository / name).read_text())
    with opened(tmp_path) as repo:
        assert all(stage.ran is None for stage in stages_of(repo, "drawn"))
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n")
    with opened(tmp_path) as repo, pytest.raises(DataError, match="cannot be read: line 2"):
        stages_of(repo, "drawn")


def test_a_line_says_both_digests_and_ends_with_the_next_action() -> None:
    md5 = "0123456789abcdef0123456789abcdef"
    link = differs("x output y", mismatch(f"{md5}.dir", "none", by="dvc.lock", at="file"), action="dvc checkout y")
    assert str(link) == (
        "differs  x output y: expected 0123456789abcdef….dir (dvc.lock), found none (file); next: dvc checkout y"
    )
    assert short_digest("dev") == "dev" and short_digest(16000) == "16000"
    assert first_few(["b", "a"]) == "a, b" and first_few(map(str, range(7))) == "0, 1, 2, 3, 4 and 2 more"


def test_a_file_that_cannot_be_read_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be read"):
        Reader(workers=1).digest(tmp_path / "gone")


@pytest.mark.parametrize("error", [RecursionError("deep"), OverflowError("wide"), KeyError("gone")])
def test_content_of_any_shape_breaks_its_link_and_no_more(error: Exception) -> None:
    def check() -> Link:
        raise error

    link = link_of("card", "final@drawn", check)
    assert link.verdict == "differs" and type(error).__name__ in link.result


def test_a_full_disk_for_temporary_files_is_said_and_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "symlink_to", full)
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / ".dvc").mkdir()
    with opened(tmp_path) as repo:
        store = Store(tmp_path, repo, [], reader=Reader(1))
        with pytest.raises(MachineError, match="cannot write: No space left on device"):
            store.copy("a", tmp_path / "apart")
    monkeypatch.setattr("foalnet.artifact.dvcrepo.TemporaryDirectory", full)
    with pytest.raises(MachineError, match="cannot write: No space left on device"), opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("links", "code"),
    [
        ([ok("a", "")], 0),
        ([ok("a", ""), skipped("b", "")], 0),
        ([ok("a", ""), absent("b", "", action="x")], 4),
        ([absent("b", "", action="x"), differs("a", "", action="x")], 3),
    ],
)
def test_exit_codes(links: list[Link], code: int) -> None:
    assert code_of(links) == code
