"""`foalnet gc`: least recently used first, nothing in use or needed; a dry run changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.checks.work import DAY_S, Item, holding, items, judged, needed, remove, to_remove
from foalnet.config import Settings
from foalnet.config.load import Entry, File
from foalnet.core.errors import MachineError
from foalnet.core.files import publish_bytes
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.core.temporaries import is_held
from foalnet.stages.train.training import train_run
from tests.support.corpus.stores import corpus_params, make_store, write_corpus
from tests.support.processes import dead_pid
from tests.support.projects import REPOSITORY, verb

NOW_S = 1_000 * DAY_S
LIVING = "clips/busy/.entry.json.{}.part"


def put(work: Path, name: str, size: int, days: float) -> Path:
    """Write a file of the cache that was last used so many days ago."""
    path = work / name
    publish_bytes(path, b"x" * size)
    for each in (path, path.parent):
        os.utime(each, (NOW_S - days * DAY_S,) * 2)
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    put(folder, "clips/old/shard.tar", 100, 9)
    put(folder, "clips/new/shard.tar", 200, 1)
    put(folder, "clips/need/shard.tar", 400, 20)
    put(folder, "train/run/Ses01.safetensors", 800, 5)
    put(folder, "inventory/drawn.json", 10, 30)
    put(folder, "features/x/y.bin", 20, 30)
    put(folder, "locks/shards-drawn", 1, 30)
    put(folder, f"clips/new/.shard.tar.{dead_pid()}.part", 50, 0)
    put(folder, LIVING.format(os.getpid()), 5, 0)
    for name, days in (("old", 9), ("new", 1), ("need", 20)):
        put(folder, f"clips/{name}/entry.json", 0, days)
        os.utime(folder / "clips" / name, (NOW_S - days * DAY_S,) * 2)
    return folder


def swept(work: Path, *, everything: bool = False, **limits: float | None) -> list[str]:
    with holding(work, take=True) as busy:
        verdicts = judged(items(work), busy=busy, keep={work / "clips" / "need"}, unknown={}, everything=everything)
        given = {"older_than_days": None, "max_bytes": None} | limits
        gone = to_remove(verdicts, now_s=NOW_S, **given)  # type: ignore[arg-type]
        remove(gone)
    return [item.name for item in gone if item.kind not in ("temporary", "locks")]


def test_what_is_not_needed_goes_the_oldest_first(work: Path) -> None:
    assert swept(work) == ["clips/old", "train/run", "clips/new"]
    left = sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
    assert left[:3] == [LIVING.format(os.getpid()), "clips/need/entry.json", "clips/need/shard.tar"]
    assert left[3:] == ["features/x/y.bin", "inventory/drawn.json"]


def test_what_killed_processes_left_unfinished_always_goes(work: Path) -> None:
    """A dialogue without its entry and a training without a checkpoint go, needed or not, under any limits."""
    put(work, "clips/half/shard.tar", 70, 0)
    put(work, f"clips/halfer/.shard.tar.{dead_pid()}.part", 80, 0)
    put(work, f"train/begun/.Ses01.safetensors.{dead_pid()}.part", 90, 0)
    (work / "clips" / "empty").mkdir()
    gone = {"clips/half", "clips/halfer", "clips/empty", "train/begun"}
    listed = items(work)
    assert {item.name for item in listed if not item.whole and item.kind != "temporary"} == gone | {"clips/busy"}
    kept = {work / name for name in gone} | {work / "clips" / "need"}
    with holding(work, take=True) as busy:
        listed = items(work)
        going = to_remove(
            judged(listed, busy=busy, keep=kept, unknown={"clips": "no manifest"}, everything=False),
            older_than_days=10_000,
            max_bytes=None,
        )
        before = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
        freed = remove(going)
        assert freed == before - sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    assert not any((work / name).exists() for name in gone)
    assert (work / "clips" / "need").exists() and (work / "clips" / "old").exists()
    assert (work / "clips" / "busy").exists(), "somebody writes into it, though it has no entry yet"


@pytest.mark.parametrize("name", ["shards-drawn", "clips-half"])
def test_a_dialogue_that_is_being_staged_stays_though_it_has_no_entry_yet(work: Path, name: str) -> None:
    """Also where one dialogue alone is warmed, under a lock of its own."""
    put(work, "clips/half/shard.tar", 70, 0)
    with lock(work / "locks" / name):
        assert not any(each.startswith("clips/") for each in swept(work, everything=True))
    assert (work / "clips" / "half").exists()
    swept(work)
    assert not (work / "clips" / "half").exists()


def test_age_and_size_bound_it(work: Path) -> None:
    assert swept(work, older_than_days=7) == ["clips/old"]
    assert (work / "clips" / "new" / "shard.tar").exists()
    assert not list((work / "clips" / "new").glob(f"*{dead_pid()}*"))
    total = sum(item.size_bytes for item in items(work))
    assert swept(work, max_bytes=total - 1) == ["train/run"]
    assert swept(work, max_bytes=10**9) == []


def test_a_temporary_of_a_dead_process_always_goes_that_of_a_living_one_stays(work: Path) -> None:
    swept(work, older_than_days=10_000)
    assert [p.name for p in work.rglob(".*.part")] == [f".entry.json.{os.getpid()}.part"]


def test_what_a_running_stage_holds_stays_with_any_options(work: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from foalnet.core.locks import lock\n"
        "with lock(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
    )
    held = work / "locks" / "shards-drawn"
    child = subprocess.Popen([sys.executable, "-c", script, str(held)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        assert is_held(held)
        assert set(swept(work, everything=True)) == {"train/run", "inventory/drawn.json"}
        assert held.exists() and (work / "clips" / "old" / "shard.tar").exists()
    finally:
        child.kill()
        child.wait()
    assert not is_held(held)
    assert "clips/need" in swept(work, everything=True)


@pytest.mark.parametrize("stage", ["train-drawn", "final-drawn", "tune-drawn"])
def test_states_of_whatever_trains_stay_while_it_is_at_work(work: Path, stage: str) -> None:
    with lock(work / "locks" / stage):
        assert not any(name.startswith("train/") for name in swept(work, everything=True))


def test_a_stage_cannot_start_while_its_cache_is_swept_and_can_after(work: Path) -> None:
    path = work / "locks" / "shards-drawn"
    with (
        holding(work, take=True),
        pytest.raises(MachineError, match=f"pid {os.getpid()}"),
        lock(path),
    ):
        pass
    swept(work)
    with lock(path):
        assert is_held(path)


def test_a_lock_on_a_file_that_was_deleted_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    path, real, swept_once = tmp_path / "lock", fcntl.flock, []

    def sweeping(handle: object, how: int) -> None:
        if not swept_once:
            swept_once.append(True)
            path.unlink()
        real(handle, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", sweeping)
    with lock(path):
        monkeypatch.undo()
        assert is_held(path), "the lock is on the file that others would open"


def test_what_may_be_in_use_stays(work: Path) -> None:
    verdicts = judged(items(work), busy={}, keep=set(), unknown={"clips": "no manifest"}, everything=False)
    kept = {item.name: item.kept for item in verdicts}
    assert kept["clips/old"] == "perhaps needed" and kept["train/run"] == "" and kept["features/x"] == "needed"


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1000), st.booleans()), max_size=12),
    st.none() | st.floats(0, 60),
    st.none() | st.integers(0, 8000),
)
def test_invariants_of_the_choice(rows: list[tuple[int, int, bool]], days: float | None, limit: int | None) -> None:
    verdicts = [
        Item(kind="clips", path=Path(str(i)), size_bytes=n, used_s=NOW_S - d * DAY_S, kept="needed" if kept else "")
        for i, (d, n, kept) in enumerate(rows)
    ]
    gone = to_remove(verdicts, older_than_days=days, max_bytes=limit, now_s=NOW_S)
    assert not any(item.kept for item in gone)
    assert [item.used_s for item in gone] == sorted(item.used_s for item in gone)
    assert days is None or all(NOW_S - item.used_s >= days * DAY_S for item in gone)
    rest = sum(item.size_bytes for item in verdicts if item not in gone)
    candidates = [i for i in verdicts if not i.kept and (days is None or NOW_S - i.used_s >= days * DAY_S)]
    if limit is None or rest > limit:
        assert len(gone) == len(candidates)
    elif gone:
        assert rest + gone[-1].size_bytes > limit, "no more than needed goes"


def test_states_of_the_runs_in_params_are_needed(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store())
    params = corpus_params(epochs=1)
    settings = Settings(work=tmp_path / "work", workers=1, device="cpu")
    train_run(params, settings, paths, variant="audio_only", seed=1)
    train_run(params, settings, paths, variant="audio_only", seed=2)
    entry = {name: getattr(params, name) for name in ("reader", "source", "variants", "seeds")}
    entry |= {"manifest": {"classes": params.manifest.classes}, "shards": {}, "evaluate": {}, "report": {}}
    train = params.train.model_dump(exclude={"variants"})
    entry |= {"methods": train.pop("methods"), "train": train}
    runs = {"a": {"corpus": "drawn", "variant": "audio_only", "seed": 1}}
    file = File.model_validate({"corpora": {"drawn": Entry.model_validate(entry)}, "runs": runs})
    keep, unknown = needed(file, settings, home=tmp_path)
    assert set(unknown) == {"clips"}, "no inventory here: nothing of clips may go"
    states = set((tmp_path / "work" / "train").iterdir())
    assert len(states) == 2 and len(keep) == 1 and keep < states
    shutil.rmtree(Paths("drawn", tmp_path).shards)
    assert set(needed(file, settings, home=tmp_path)[1]) == {"clips", "train"}


def test_the_verb_shows_a_table_and_a_dry_run_touches_nothing(tmp_path: Path, work: Path) -> None:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    before = sorted((p, p.stat().st_mtime_ns) for p in work.rglob("*"))
    shown = verb(tmp_path, "gc", "--dry-run", "--all", PYTHONPATH=str(REPOSITORY)).stdout
    assert sorted((p, p.stat().st_mtime_ns) for p in work.rglob("*")) == before
    assert "clips/need" in shown and shown.splitlines()[-1].endswith("nothing was removed")
    shown = verb(tmp_path, "gc", PYTHONPATH=str(REPOSITORY)).stdout
    assert "clips stay: what drawn needs is not known" in shown
    assert (work / "clips" / "old" / "shard.tar").exists()
    shown = verb(tmp_path, "gc", "--all", "--max-gb", "0", PYTHONPATH=str(REPOSITORY)).stdout
    assert shown.splitlines()[-1].startswith("freed 2 kB")
    assert [p for p in work.rglob("*") if p.is_file()] == [work / LIVING.format(os.getpid())]


def test_remove_says_what_it_cannot_remove(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    item = next(item for item in items(work) if item.kind == "clips")
    with pytest.raises(MachineError, match="Permission denied"):
        remove([replace(item, kept="")])
