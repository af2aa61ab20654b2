"""`foalnet shards --verify`: every fault of a shard folder in one go, nothing written, no root and no lock needed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from foalnet.artifact.seal import sealed_bytes
from foalnet.cli.main import cli
from foalnet.core.errors import DataError, MachineError
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.shards import open_shards, verify
from foalnet.shards.index import read_index
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.marks import red_when
from tests.support.sealing import reseal


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Five shards of four utterances, params.yaml next to them, in the current folder."""
    paths = write_corpus(tmp_path, make_store(per_group=4))
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return paths


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["shards", "drawn", "--verify", *args])


def listing(home: Path) -> dict[str, tuple[int, bytes]]:
    return {p.as_posix(): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(home.rglob("*")) if p.is_file()}


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_whole_shards_are_said_to_be_whole_and_nothing_is_written(paths: Paths) -> None:
    before = listing(paths.home)
    with lock(paths.home / "work" / "locks" / "shards-drawn"):
        held = listing(paths.home)
        done = run()
        assert listing(paths.home) == held
    assert (done.exit_code, done.exception) == (0, None)
    assert done.output.startswith("shards drawn: 5 shards, 20 samples, ") and before.items() <= held.items()


@red_when("shards/verify.py", "the first fault alone is kept")
def test_t60_t63_every_fault_is_listed_with_its_dialogue_and_first_damaged_key(paths: Paths) -> None:
    tars = {n: paths.shards / f"Session{n}" / "000000.tar" for n in range(1, 6)}
    flip(tars[1], 700)
    tars[2].unlink()
    tars[3].write_bytes(tars[3].read_bytes()[:-3000])
    (paths.shards / "Session4" / "000001.tar").write_bytes(tars[4].read_bytes())
    before = listing(paths.home)
    done = run()
    assert isinstance(done.exception, DataError) and done.exception.exit_code == 3 and listing(paths.home) == before
    lines = done.output.splitlines()
    assert len(lines) == 4
    assert lines[0] == "Session1/000000.tar (dialogue Session1_d1): key g1_000 is altered"
    assert (
        lines[1].startswith("Session2/000000.tar (dialogue Session2_d1): the shard is missing") and "g2_000" in lines[1]
    )
    size = len(tars[4].read_bytes())
    assert lines[2] == (
        f"Session3/000000.tar (dialogue Session3_d1): it is shorter than its index says: {size - 3000:,} of {size:,} "
        "bytes; its keys are intact, the end mark after the last one, g3_003, is cut"
    )
    assert lines[3] == "Session4/000001.tar: the file is not in the index"
    assert "4 files differ from the index of 5 shards" in done.exception.what
    assert str(done.exception.action).endswith(
        "shards@drawn`: it stages Session1_d1, Session2_d1, Session3_d1 again and keeps the rest"
    )


@red_when("shards/check.py", "a shard that cannot be read ends the list")
def test_t60_a_shard_that_the_disk_does_not_give_is_one_fault_of_the_list(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dying disk must not keep the other faults from being named."""
    dying, real = paths.shards / "Session2" / "000000.tar", Path.open

    def opened(self: Path, *args: Any, **options: Any) -> Any:
        if self.absolute() == dying:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, *args, **options)

    flip(paths.shards / "Session4" / "000000.tar", 700)
    monkeypatch.setattr(Path, "open", opened)
    done = run()
    assert isinstance(done.exception, DataError) and done.exception.exit_code == 3
    assert done.output.splitlines() == [
        "Session2/000000.tar (dialogue Session2_d1): the shard cannot be read: Input/output error",
        "Session4/000000.tar (dialogue Session4_d1): key g4_000 is altered",
    ]
    with pytest.raises(DataError, match="cannot be read: Input/output error"):
        open_shards(paths.shards, corpus="drawn")


@pytest.mark.parametrize("read", [read_index, open_shards])
def test_an_index_that_the_disk_does_not_give_is_no_fault_of_the_data(paths: Paths, read: Callable[..., Any]) -> None:
    (paths.shards / "index.json").unlink()
    (paths.shards / "index.json").mkdir()
    with pytest.raises(MachineError, match=r"the file cannot be read: Is a directory") as caught:
        read(paths.shards, corpus="drawn")
    assert str(caught.value.file).endswith("index.json")


@red_when("shards/verify.py", "the samples are not read")
def test_t61_a_sample_with_wrong_metadata_is_reported_although_its_digest_matches_the_index(paths: Paths) -> None:
    tar = paths.shards / "Session5" / "000000.tar"
    data = tar.read_bytes().replace(b'"side": "left"', b'"sode": "left"')
    tar.write_bytes(data)

    def vouch(index: dict) -> None:
        from dataclasses import asdict

        from foalnet.shards.check import entry_of

        entry = asdict(entry_of(tar, session="Session5", group="Session5_d1"))
        index["shards"][4] = entry | {"path": "Session5/000000.tar"}

    reseal(paths.shards / "index.json", vouch)
    flip(paths.shards / "Session1" / "000000.tar", 700)
    result = verify(paths.shards, corpus="drawn")
    assert [fault.group for fault in result.faults] == ["Session1_d1", "Session5_d1"]
    assert result.faults[1].what.startswith("key g5_000: its metadata cannot be read: side: Field required")


@red_when("artifact/seal.py", "the seal of index.json is not compared")
def test_t63_an_altered_index_or_one_of_another_corpus_is_refused(paths: Paths) -> None:
    index = paths.shards / "index.json"
    whole = index.read_bytes()
    index.write_bytes(whole.replace(b"g1_000", b"g1_900"))
    assert "index.json was altered after it was written" in str(run().exception)
    with pytest.raises(DataError, match=r"index\.json was altered"):
        open_shards(paths.shards)
    index.write_bytes(whole)
    reseal(index, lambda facts: facts | {"corpus": "mine"})
    assert "is of corpus 'mine', not of 'drawn'" in str(run().exception)
    index.write_bytes(sealed_bytes("index.json", {"schema": 2, "corpus": "drawn", "shards": [3]}))
    assert "index.json cannot be used: shards.0" in str(run().exception)


def test_verify_and_a_dry_run_do_not_go_together(paths: Paths) -> None:
    assert run("--dry-run").exception.exit_code == 2  # type: ignore[union-attr]
