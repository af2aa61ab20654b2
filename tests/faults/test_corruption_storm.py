"""Storms of corruptions, drawn at random from fixed seeds: refused by name or without effect, never silent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import corruption
from bench.corruption import BAD, Hit, main, storm, tally


def damage(home: Path, *operations: str, count: int = 30, seed: int = 1) -> list[Hit]:
    """A storm, with nothing bad in it."""
    hits = list(storm(home, count=count, seed=seed, operations=operations))
    assert len(hits) == count and {hit.operation for hit in hits} == set(operations)
    assert [hit for hit in hits if hit.outcome in BAD] == [], tally(hits, seed)
    return hits


def unread(hit: Hit) -> bool:
    """Nobody reads these back: what people look at, and the state before a whole one."""
    return all(re.search(r"history|/fold-|\.previous|-copy", name) for name in hit.touched)


def test_t58_files_cut_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "truncate", count=15)
    assert {hit.outcome for hit in hits if not unread(hit)} == {"refused"}


def test_t60_bits_turned_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "flip", count=20)
    assert {hit.outcome for hit in hits if not unread(hit)} == {"refused"}


def test_t63_files_lost_added_or_exchanged_at_random_are_refused_by_name(tmp_path: Path) -> None:
    hits = damage(tmp_path, "swap", "delete", "duplicate", "rename", count=30)
    assert sum(hit.outcome == "refused" for hit in hits) >= 15
    assert {hit.outcome for hit in hits if hit.operation == "delete" and not unread(hit)} == {"refused"}


def test_a_reader_that_believes_everything_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storm itself can see silence: with seals that are not looked at it does."""
    monkeypatch.setattr("foalnet.results.read_sealed", blind)
    monkeypatch.setattr("foalnet.results.held_bytes", lambda path, *_, **__: path.read_bytes())
    hits = list(storm(tmp_path, count=60, seed=2, operations=("flip",)))
    assert {hit.outcome for hit in hits} & {"SILENT", "crashed"}


def blind(path: Path, **_: object) -> object:
    import json

    return {name: value for name, value in json.loads(path.read_bytes()).items() if name != "seal"}


def test_the_bench_prints_seed_and_tally_and_ends_with_1_where_something_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--count", "5", "--seed", "7"])
    said = capsys.readouterr().out
    assert said.startswith("seed 7, 5 corruptions\n") and "SILENT" in said.splitlines()[2]
    bad = Hit(kind="shard", operation="flip", touched=("a.tar",), outcome="SILENT", said="something else was read")
    monkeypatch.setattr(corruption, "storm", lambda *_, **__: iter([bad]))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 1 and "SILENT: number 0, flip of a.tar" in capsys.readouterr().out


@pytest.mark.long
def test_t63_a_thousand_corruptions_leave_nothing_silent(tmp_path: Path) -> None:
    hits = list(storm(tmp_path, count=1000, seed=1))
    assert [hit for hit in hits if hit.outcome in BAD] == [], tally(hits, 1)
