"""Storms of corruptions, drawn at random from fixed seeds: refused by name or without effect, never silent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import corruption
from bench.corruption import BAD, Hit, judged, main, named, storm, tally
from bench.corruption_place import readers_of, write_project
from foalnet.train.state import load_progress
from tests.support.marks import red_when


def damage(home: Path, *operations: str, count: int = 30, seed: int = 1) -> list[Hit]:
    """A storm, with nothing bad in it."""
    hits = list(storm(home, count=count, seed=seed, operations=operations))
    assert len(hits) == count and {hit.operation for hit in hits} == set(operations)
    assert [hit for hit in hits if hit.outcome in BAD] == [], tally(hits, seed)
    assert [hit for hit in hits if (hit.outcome == "unread") != unread(hit) and hit.outcome != "refused"] == []
    return hits


def unread(hit: Hit) -> bool:
    """No stage opens these: what people look at, copies under a name of their own, the state before a whole one."""
    return all(re.search(r"history|/fold-|\.previous|-copy", name) for name in hit.touched)


@red_when("shards/features.py", "the digest of a file of features is not compared")
@pytest.mark.long
def test_t58_files_cut_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "truncate", count=15)
    assert {hit.outcome for hit in hits if not unread(hit)} == {"refused"}
    assert any(hit.outcome == "unread" for hit in hits)


@red_when("artifact/seal.py", "a seal is not compared")
def test_t60_bits_turned_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "flip", count=20)
    assert {hit.outcome for hit in hits if not unread(hit)} == {"refused"}


@red_when("artifact/seal.py", "the name is no part of a seal")
@pytest.mark.long
def test_t63_files_lost_added_or_exchanged_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "swap", "delete", "duplicate", "rename", count=30)
    assert sum(hit.outcome == "refused" for hit in hits) >= 15
    assert {hit.outcome for hit in hits if hit.operation == "delete" and not unread(hit)} == {"refused"}


def test_a_reader_that_accepts_everything_fails_the_storm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storm itself can see silence: with seals that are not looked at it does."""
    for module in ("artifact.results", "evidence.report.results"):
        monkeypatch.setattr(f"foalnet.{module}.read_sealed", blind)
    monkeypatch.setattr("foalnet.artifact.results.verified_bytes", lambda path, *_, **__: path.read_bytes())
    hits = storm(tmp_path, count=60, seed=2, operations=("flip",))
    assert any(hit.outcome in ("SILENT", "crashed") for hit in hits)


def judge(home: Path, reader: str, damage: Callable[[Path], tuple[str, ...]]) -> str:
    """What one reader makes of a damage that returns the paths it touched."""
    place = write_project(home)
    readers = {reader: readers_of(place)[reader]}
    expected = {reader: readers[reader]()}
    return judged(place, readers, expected, damage(home))[0]


def flipped(home: Path) -> tuple[str, ...]:
    path = home / "work/train/key/Session1.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    return (path.relative_to(home).as_posix(),)


def test_a_damaged_state_counts_as_refused_only_with_a_message_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judge(tmp_path / "said", "resumed", flipped) == "refused"
    monkeypatch.setattr("foalnet.train.state.logger.warning", lambda *_: None)
    assert judge(tmp_path / "silent", "resumed", flipped) == "SILENT"
    monkeypatch.undo()
    monkeypatch.setattr("foalnet.train.state.logger.warning", lambda *_: logged("a state is refused"))
    assert judge(tmp_path / "nameless", "resumed", flipped) == "misnamed"


def logged(message: str) -> None:
    import logging

    logging.getLogger("foalnet.train.state").error(message)


@pytest.mark.parametrize("lost", [True, False])
def test_a_resume_from_the_first_epoch_is_compared_with_what_was_written_of_it(
    lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(home: Path) -> tuple[str, ...]:
        (home / "work/train/key/Session1.safetensors").unlink()
        return ("work/train/key/Session1.safetensors",)

    def rubbish(path: Path, net: object, optim: object, *, owner: str) -> object:
        progress = load_progress(path, net, optim, owner=owner)  # type: ignore[arg-type]
        if progress is not None and progress.epochs == 1:
            next(net.parameters()).data.add_(1.0)  # type: ignore[attr-defined]
        return progress

    damage, whole = (remove, "harmless") if lost else (flipped, "refused")
    assert judge(tmp_path / "whole", "resumed", damage) == whole
    monkeypatch.setattr("bench.corruption_place.load_progress", rubbish)
    assert judge(tmp_path / "rubbish", "resumed", damage) == "SILENT"


def test_a_file_is_named_by_its_whole_path_alone(tmp_path: Path) -> None:
    place = write_project(tmp_path)
    shards, features = "data/drawn/shards/index.json", "data/drawn/features/index.json"
    said = f"index.json was altered after it was written\n  file: {tmp_path / features}"
    assert named(said, place, features) and not named(said, place, shards)
    assert not named("Session1/000000.tar.old", place, "data/drawn/shards/Session1/000000.tar")
    assert named("of Session1/000000.tar.", place, "data/drawn/shards/Session1/000000.tar")


def test_a_champion_is_read_as_one(tmp_path: Path) -> None:
    """A flipped bit in the key `seal` does not make a file an older, unsealed one; a missing account is reported."""

    def no_seal(home: Path) -> tuple[str, ...]:
        path = home / "reports/drawn/runs/foal-s1/metrics.json"
        path.write_bytes(path.read_bytes().replace(b'"seal"', b'"sealed"'))
        assert "seal" not in json.loads(path.read_bytes())
        return (path.relative_to(home).as_posix(),)

    def gone(home: Path) -> tuple[str, ...]:
        (home / "reports/drawn/counts.json").unlink()
        return ("reports/drawn/counts.json",)

    assert judge(tmp_path / "seal", "champion", no_seal) == "refused"
    assert judge(tmp_path / "gone", "champion", gone) == "reported"


def blind(path: Path, **_: object) -> object:
    return {name: value for name, value in json.loads(path.read_bytes()).items() if name != "seal"}


def test_the_script_ends_with_1_where_something_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Hit(kind="shard", operation="flip", touched=("a.tar",), outcome="SILENT", said="something else was read")
    monkeypatch.setattr(corruption, "storm", lambda *_, **__: iter([bad]))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 1 and "SILENT: number 0, flip of a.tar" in capsys.readouterr().out


@red_when("artifact/seal.py", "the name is no part of a seal")
@pytest.mark.long
def test_t63_a_thousand_corruptions_leave_nothing_silent(tmp_path: Path) -> None:
    hits = list(storm(tmp_path, count=1000, seed=1))
    assert [hit for hit in hits if hit.outcome in BAD] == [], tally(hits, 1)
