"""Forecasts: what is left is counted, a time is told only where it was measured, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foalnet.config import Settings
from foalnet.errors import DataError, Interrupted, UsageError
from foalnet.files import read_json
from foalnet.forecast import BYTES_PER_S, COPIES, duration, shards_forecast, size, speech_seconds, train_forecast
from foalnet.paths import Paths
from foalnet.train import train_run
from foalnet.train.speed import reached, speed_file
from tests.clips_tree import DIALOGUES, TURNS, LocalPool, Place, lay_tree
from tests.projects import REPOSITORY, verb
from tests.stores import corpus_params, make_store, write_corpus


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.as_posix(): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("foalnet.clips.staging.Pool", LocalPool)
    found = Place(home=tmp_path / "home", root=lay_tree(tmp_path / "tree", DIALOGUES))
    found.list_files()
    return found


def test_shards_are_forecast_before_during_and_after(place: Place) -> None:
    paths: Any = SimpleNamespace(inventory=place.home / "inventory.json", manifest=place.home / "manifest.jsonl")
    before = listing(place.home)
    told = shards_forecast(place.params, place.settings, paths)
    assert listing(place.home) == before, "a forecast writes nothing"
    seconds = len(DIALOGUES) * sum(end - start for _, start, end in TURNS)
    assert (told.left, told.time_s, told.disk_bytes) == (3, None, pytest.approx(COPIES * BYTES_PER_S * seconds, abs=9))
    assert "not known yet" in str(told) and "3 to stage" in str(told)
    place.stage(listed=True)
    done = shards_forecast(place.params, place.settings, paths)
    assert (done.left, done.disk_bytes) == (0, 0) and "3 of them from the work cache" in str(done)
    shutil.rmtree(next((place.home / "work" / "clips").iterdir()))
    again = shards_forecast(place.params, place.settings, paths)
    speeds = read_json(place.home / "work" / "runs" / "shards-tiny.json")
    assert again.left == 1
    assert again.time_s == pytest.approx(sum(speeds["dialogues"].values()) / 3, abs=0.01)
    assert again.disk_bytes is not None and 0 < again.disk_bytes < told.disk_bytes / 3
    next((place.home / "work" / "clips").glob("*/shard.tar")).write_bytes(b"cut")
    assert shards_forecast(place.params, place.settings, paths).left == 2


def test_speech_is_told_from_what_is_recorded(place: Place) -> None:
    paths: Any = SimpleNamespace(inventory=place.home / "inventory.json", manifest=place.home / "manifest.jsonl")
    by_manifest = speech_seconds(place.params, paths)
    paths.manifest = place.home / "none"
    by_inventory = speech_seconds(place.params, paths)
    assert by_manifest == pytest.approx(3 * sum(end - start for _, start, end in TURNS))
    assert by_inventory == pytest.approx(by_manifest, rel=0.05)
    paths.inventory = place.home / "none"
    assert speech_seconds(place.params, paths) is None


def test_training_is_forecast_from_its_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_corpus(tmp_path, make_store())
    params = corpus_params(epochs=2)
    settings = Settings(work=tmp_path / "work", workers=1, device="cpu")

    def told() -> Any:
        return train_forecast(params, settings, paths, variant="audio_only", seed=1)

    before = listing(tmp_path)
    first = told()
    assert listing(tmp_path) == before, "a forecast writes nothing"
    assert (first.left, first.time_s, first.disk_bytes) == (10, None, None)
    calls = {"left": 3}
    real = train_run.__globals__["train_fold"]

    def stopping(task: Any, store: Any, state: Path, **options: Any) -> Any:
        def tick(progress: Any) -> None:
            options["tick"](progress)
            calls["left"] -= 1
            if not calls["left"]:
                raise Interrupted("stopped")

        return real(task, store, state, **{**options, "tick": tick})

    monkeypatch.setitem(train_run.__globals__, "train_fold", stopping)
    with pytest.raises(Interrupted):
        train_run(params, settings, paths, variant="audio_only", seed=1)
    half = told()
    assert half.left == 7 and "1 epochs done, at most 1 left" in str(half) and "finished" in str(half)
    monkeypatch.setitem(train_run.__globals__, "train_fold", real)
    train_run(params, settings, paths, variant="audio_only", seed=1)
    note = read_json(speed_file(settings, "drawn", "audio_only"))
    assert note["epochs"] == 7
    assert told().left == 0 and "seconds" in str(told())
    other = train_forecast(params, settings, paths, variant="audio_only", seed=2)
    assert other.time_s == pytest.approx(10 * note["wall_s"] / 7)
    weights = max(p.stat().st_size for p in paths.model("audio_only", 1).glob("fold-*.safetensors"))
    assert other.disk_bytes == (5 * 6 + 4) * weights, "one fold at a time keeps its state before the last"
    wider = params.model_copy(update={"train": params.train.model_copy(update={"batch_size": 4})})
    assert train_forecast(wider, settings, paths, variant="audio_only", seed=2).time_s is None
    longer = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 3})})
    assert train_forecast(longer, settings, paths, variant="audio_only", seed=2).time_s is not None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    settings, params = Settings(work=tmp_path / "work"), corpus_params()
    with pytest.raises(DataError, match="not found"):
        shards_forecast(params, settings, Paths("drawn", tmp_path))
    with pytest.raises(DataError, match="not found"):
        train_forecast(params, settings, Paths("drawn", tmp_path), variant="foal", seed=1)
    with pytest.raises(UsageError):
        train_forecast(params, settings, Paths("drawn", tmp_path), variant="fool", seed=1)


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"\x08\0\0\0\0\0\0\0{}      rest")
    assert reached(tmp_path / "state") == reached(tmp_path / "none") == (0, False)


def test_words_for_times_and_sizes() -> None:
    assert [duration(s) for s in (0.2, 45, 600, 9000)] == ["1 s", "45 s", "10 min", "2.5 h"]
    assert [size(n) for n in (0, 640_000, 12_340_000, 4_500_000_000)] == ["0 kB", "640 kB", "12.3 MB", "4.5 GB"]


def test_the_verbs_say_it_and_write_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path, make_store())
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    before = listing(tmp_path)
    asked = ("train", "drawn", "--variant", "audio_only", "--seed", "1", "--dry-run")
    told = verb(tmp_path, *asked, PYTHONPATH=str(REPOSITORY)).stdout
    assert told.startswith("train drawn audio_only-s1 would run:\n  5 folds, 40 utterances")
    assert "time: not known yet" in told and told.endswith("nothing was written\n")
    refused = verb(tmp_path, "shards", "drawn", "--dry-run", check=False, PYTHONPATH=str(REPOSITORY))
    assert refused.returncode == 3 and "inventory.json" in refused.stderr
    assert listing(tmp_path) == before
