"""Damaged shards where a user meets them: every verb that reads them ends with 3 and names shard, key and dialogue."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from foalnet.core.paths import Paths
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.marks import red_when
from tests.support.projects import REPOSITORY, verb

SHARD = "Session3/000000.tar"
KEY = "g3_001"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params, manifest and the shards of five sessions."""
    home = tmp_path_factory.mktemp("project")
    write_params(home)
    write_corpus(home, make_store(per_group=4))
    return home


def _payload(path: Path) -> int:
    """Return the place of a byte in the middle of KEY's sound."""
    with tarfile.open(path) as tar:
        member = tar.getmember(f"{KEY}.flac")
        return member.offset_data + member.size // 2


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: _payload(path)])


def header(path: Path) -> None:
    with tarfile.open(path) as tar:
        place = tar.getmember(f"{KEY}.flac").offset + 130
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def payload(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[_payload(path)] ^= 1
    path.write_bytes(data)


def missing(path: Path) -> None:
    path.unlink()


def extra(path: Path) -> None:
    shutil.copy(path, path.with_name("000001.tar"))


@red_when("shards/read.py", "the folder is not compared with its index")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (truncated, f"key {KEY} is cut"),
        (header, f"key {KEY} is altered"),
        (payload, f"key {KEY} is altered"),
        (missing, "the shard is missing (its first key is g3_000)"),
        (extra, "Session3/000001.tar: the file is not in the index"),
    ],
)
def test_t58_t59_t60_t63_training_refuses_by_name_before_its_first_step(
    project: Path, tmp_path: Path, fault: Callable[[Path], None], message: str
) -> None:
    home = shutil.copytree(project, tmp_path / "project")
    fault(Paths("drawn", home).shards / SHARD)
    done = verb(
        home, "train", "drawn", "--variant", "audio_only", "--seed", "1", check=False, PYTHONPATH=str(REPOSITORY)
    )
    assert done.returncode == 3, done.stderr
    for part in (SHARD[:-5], message, "stage: train", "next: run `dvc repro --force --single-item shards@drawn`"):
        assert part in done.stderr
    assert fault is extra or "Session3_d1" in done.stderr
    assert "Traceback" not in done.stderr and not (home / "models").exists() and not (home / "work/train").exists()
