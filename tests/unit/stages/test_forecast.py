"""Forecasts: the remaining work is counted, a time is stated only if it was measured, nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foalnet.artifact.seal import publish_sealed
from foalnet.artifact.speeds import read_speed, speed_path
from foalnet.artifact.table import read_manifest
from foalnet.clips.plan import BYTES_PER_S
from foalnet.config import Params, Settings
from foalnet.config.blocks import Final
from foalnet.config.draw import Draw
from foalnet.config.load import Run
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.core.files import json_bytes, publish_bytes, read_json
from foalnet.core.paths import Paths, run_name
from foalnet.core.progress import duration
from foalnet.drawn.plan import plan
from foalnet.drawn.write import draw
from foalnet.stages import draw as drawing
from foalnet.stages.base import Context
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.features.encode import encode
from foalnet.stages.final.model import final_run
from foalnet.stages.forecast import COPIES, Forecast, size, speech_seconds
from foalnet.stages.table import BY_NAME
from foalnet.stages.train import training_rate
from foalnet.stages.train.training import train_run
from foalnet.train.speed import reached, speed_file
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import corpus_params, make_store, write_corpus
from tests.support.corpus.trees import CLIPS, TURNS, clips_tree
from tests.support.hub import needs_transformers, recorded
from tests.support.projects import REPOSITORY, verb


def forecast(stage: str, params: Params, settings: Settings, paths: Any, run: Run | None = None) -> Forecast:
    """Return what `foalnet STAGE --dry-run` says."""
    left = BY_NAME[stage].forecast
    assert left is not None
    return left(Context(params=params, settings=settings, paths=paths, run=run))


def run_of(variant: str, seed: int) -> Run:
    return Run(corpus="drawn", variant=variant, seed=seed, name=run_name(variant, seed))  # type: ignore[arg-type]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.as_posix(): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(home=tmp_path / "home", root=clips_tree(tmp_path / "tree", CLIPS))
    made.list_files()
    return made


def test_shards_are_forecast_before_during_and_after(place: Place) -> None:
    paths: Any = SimpleNamespace(inventory=place.home / "inventory.json", manifest=place.home / "manifest.jsonl")
    before = listing(place.home)
    first = forecast("shards", place.params, place.settings, paths)
    assert listing(place.home) == before, "a forecast writes nothing"
    seconds = len(CLIPS) * sum(end - start for _, start, end in TURNS)
    assert (first.left, first.time_s, first.disk_bytes) == (
        3,
        None,
        pytest.approx(COPIES * BYTES_PER_S * seconds, abs=9),
    )
    assert "not known yet" in str(first) and "3 to stage" in str(first)
    place.stage(listed=True)
    done = forecast("shards", place.params, place.settings, paths)
    assert (done.left, done.disk_bytes) == (0, 0) and "3 of them from the work cache" in str(done)
    shutil.rmtree(next((place.home / "work" / "clips").iterdir()))
    again = forecast("shards", place.params, place.settings, paths)
    speeds = read_json(place.home / "work" / "runs" / "shards-tiny.json")
    assert again.left == 1
    assert again.time_s == pytest.approx(sum(speeds["dialogues"].values()) / 3, abs=0.01)
    assert again.disk_bytes is not None and 0 < again.disk_bytes < first.disk_bytes / 3
    next((place.home / "work" / "clips").glob("*/shard.tar")).write_bytes(b"cut")
    assert forecast("shards", place.params, place.settings, paths).left == 2


def test_the_seconds_of_speech_follow_from_the_records(place: Place) -> None:
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

    def training_left() -> Any:
        return forecast("train", params, settings, paths, run_of("audio_only", 1))

    before = listing(tmp_path)
    first = training_left()
    assert listing(tmp_path) == before, "a forecast writes nothing"
    assert (first.left, first.time_s, first.disk_bytes) == (10, None, None)
    real = train_run.__globals__["train_fold"]

    def stopping(task: Any, store: Any, state: Path, **options: Any) -> Any:
        def before(progress: Any) -> None:
            if task.name == "Session2" and progress.epochs == 1:
                raise Interrupted("stopped")

        return real(task, store, state, **{**options, "before": before})

    monkeypatch.setitem(train_run.__globals__, "train_fold", stopping)
    with pytest.raises(Interrupted):
        train_run(params, settings, paths, variant="audio_only", seed=1)
    half = training_left()
    assert half.left == 7 and "1 epochs done, at most 1 left" in str(half) and "finished" in str(half)
    monkeypatch.setitem(train_run.__globals__, "train_fold", real)
    train_run(params, settings, paths, variant="audio_only", seed=1)
    note = read_json(speed_file(settings, "drawn", "audio_only"))
    assert note["epochs"] == 7
    assert training_left().left == 0 and "seconds" in str(training_left())
    other = forecast("train", params, settings, paths, run_of("audio_only", 2))
    assert other.time_s == pytest.approx(10 * note["wall_s"] / 7)
    weights = max(p.stat().st_size for p in paths.model("audio_only", 1).glob("fold-*.safetensors"))
    assert other.disk_bytes == (5 * 6 + 4) * weights, "one fold at a time keeps its state before the last"
    wider = params.model_copy(update={"train": params.train.model_copy(update={"batch_size": 4})})
    assert forecast("train", wider, settings, paths, run_of("audio_only", 2)).time_s is None
    longer = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 3})})
    assert forecast("train", longer, settings, paths, run_of("audio_only", 2)).time_s is not None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    settings, params = Settings(work=tmp_path / "work"), corpus_params()
    with pytest.raises(DataError, match="not found"):
        forecast("shards", params, settings, Paths("drawn", tmp_path))
    with pytest.raises(DataError, match="not found"):
        forecast("train", params, settings, Paths("drawn", tmp_path), run_of("foal", 1))


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"\x08\0\0\0\0\0\0\0{}      rest")
    assert reached(tmp_path / "state") == reached(tmp_path / "none") == (0, False)


def test_times_and_sizes_as_text() -> None:
    assert [duration(s) for s in (0.2, 45, 600, 9000)] == ["1 s", "45 s", "10 min", "2.5 h"]
    assert [size(n) for n in (0, 640_000, 12_340_000, 4_500_000_000)] == ["0 kB", "640 kB", "12.3 MB", "4.5 GB"]


def test_the_verbs_say_it_and_write_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path, make_store())
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    before = listing(tmp_path)
    arguments = ("train", "drawn", "--variant", "audio_only", "--seed", "1", "--dry-run")
    shown = verb(tmp_path, *arguments, PYTHONPATH=str(REPOSITORY)).stdout
    assert shown.startswith("train drawn audio_only-s1 would run:\n  5 folds, 40 utterances")
    assert "time: not known yet" in shown and shown.endswith("nothing was written\n")
    refused = verb(tmp_path, "shards", "drawn", "--dry-run", check=False, PYTHONPATH=str(REPOSITORY))
    assert refused.returncode == 3 and "inventory.json" in refused.stderr and "stage: shards" in refused.stderr
    assert listing(tmp_path) == before


TINY = Draw(dialogues_per_session=1, used_per_dialogue=8, unused_per_dialogue=0, length_max_s=1.2)


@pytest.mark.long
def test_drawing_is_forecast_whole_and_by_the_last_drawing(tmp_path: Path) -> None:
    settings, out = Settings(work=tmp_path / "work", workers=1), tmp_path / "data" / "drawn" / "raw"

    def left(params: Draw = TINY, settings: Settings = settings, **where: Any) -> Forecast:
        given = corpus_params().model_copy(update={"draw": params})
        return drawing.forecast(Context(params=given, settings=settings, paths=Paths("drawn", tmp_path)), **where)

    before = listing(tmp_path)
    first = left()
    assert listing(tmp_path) == before, "a forecast writes nothing"
    assert (first.left, first.time_s, first.disk_bytes) == (5, None, None)
    assert (
        "5 dialogues, 40 utterances" in str(first)
        and "starts from the beginning" in str(first)
        and "not known yet" in str(first)
    )
    draw(TINY, out, workers=1)
    drawing._note(TINY, settings, out, wall_s=30.0, structure=None, media=None)
    video_s = sum(d.frames for d in plan(TINY)) * 1001 / 30000
    weight = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    again = left()
    assert again.time_s == pytest.approx(30.0, rel=1e-3) and again.disk_bytes == pytest.approx(2 * weight, rel=1e-3)
    assert f"{30 / video_s:.2f} s of a worker" in str(again) and "of these params: it would be drawn again" in str(
        again
    )
    two = left(settings=settings.model_copy(update={"workers": 2}), out=tmp_path / "own")
    assert two.time_s == pytest.approx(15.0, rel=1e-3) and two.disk_bytes == pytest.approx(weight, rel=1e-3)
    other = left(TINY.model_copy(update={"seed": 9}))
    assert "of other params" in str(other)
    assert left(media=0).time_s == 0.0
    drawing._note(TINY, settings, out, wall_s=1.0, structure=None, media=0)
    same = left()
    assert (same.time_s, same.disk_bytes) == (again.time_s, again.disk_bytes), "without media nothing is measured"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(UsageError, match="other content than a drawn corpus"):
        left(out=tmp_path / "mine")


def test_features_are_forecast_from_what_the_cache_holds(tmp_path: Path) -> None:
    needs_transformers()
    paths = write_corpus(tmp_path, make_store(per_group=4))
    weights = recorded(tmp_path / "weights", "clip_vit_b32")
    settings = Settings(work=tmp_path / "work", weights=tmp_path / "weights", workers=1, device="cpu")
    plain = corpus_params()
    none = forecast("features", plain, settings, paths)
    assert (none.left, none.disk_bytes) == (0, 0) and "nothing to compute" in str(none)
    features = plain.features.model_copy(
        update={"encoder": "clip_vit_b32", "weights": weights.sha256, "picture": "half", "frame_step": 2}
    )
    params = plain.model_copy(update={"features": features})
    before = listing(tmp_path)
    first = forecast("features", params, settings, paths)
    assert listing(tmp_path) == before, "a forecast writes nothing"
    speech_s = sum(u.end_s - u.start_s for u in read_manifest(paths.manifest))
    assert (first.left, first.time_s) == (5, None) and "5 dialogues, 20 utterances, encoder clip_vit_b32" in str(first)
    assert first.disk_bytes == round(COPIES * speech_s * 30 / 2 * 6 * 4)
    encode(params, settings, paths.shards, paths.features)
    done = forecast("features", params, settings, paths)
    assert (done.left, done.disk_bytes) == (0, 0) and "5 of them from the work cache" in str(done)
    assert "only packed" in str(done)
    note = read_json(tmp_path / "work" / "runs" / "features-drawn.json")
    kept = sorted((tmp_path / "work" / "features").glob("*.safetensors"))
    kept[0].unlink()
    left = forecast("features", params, settings, paths)
    per_byte = note["wall_s"] / note["shard_bytes"]
    assert left.left == 1 and left.time_s is not None and left.disk_bytes is not None and left.disk_bytes > 0
    assert left.time_s == pytest.approx(per_byte * note["shard_bytes"] / 5, rel=0.5)
    coarser = params.model_copy(update={"features": features.model_copy(update={"frame_step": 1})})
    assert forecast("features", coarser, settings, paths).time_s is None, "another speed is not this one's"
    with pytest.raises(MachineError, match="not ready"):
        forecast("features", params, settings.model_copy(update={"weights": tmp_path / "none"}), paths)


def test_the_final_model_is_forecast_from_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, settings = write_corpus(tmp_path, make_store()), Settings(work=tmp_path / "work", workers=1, device="cpu")
    params = corpus_params(epochs=2, patience=2).model_copy(update={"final": Final(variant="audio_only", seed=1)})
    with pytest.raises(DataError, match="not found"):
        forecast("final", params, settings, paths)
    train_run(params, settings, paths, variant="audio_only", seed=1)
    evaluate_run(params, paths, variant="audio_only", seed=1)
    publish_sealed(paths.staging, {"tools": {}})
    file = paths.model("audio_only", 1) / "train.json"
    facts = read_json(file)
    for fold in facts["folds"].values():
        fold["chosen_epoch"] = 2
    publish_sealed(file, facts)
    before = listing(tmp_path)
    first = forecast("final", params, settings, paths)
    assert listing(tmp_path) == before, "a forecast writes nothing"
    assert (first.left, first.time_s) == (2, None) and "not known yet" in str(first)
    assert (
        "all sessions, 40 utterances, device cpu\n  audio_only: 2 epochs, as the folds' choices fixed them: 0 done"
        in str(first)
    )
    weights = max(p.stat().st_size for p in paths.model("audio_only", 1).glob("fold-*.safetensors"))
    assert first.disk_bytes == 10 * weights
    final_run(params, settings, paths)
    done = forecast("final", params, settings, paths)
    assert (done.left, done.disk_bytes) == (0, 0) and "2 done, finished" in str(done)
    note = read_json(tmp_path / "work" / "runs" / "final-drawn-audio_only.json")
    assert note["epochs"] == 2
    shutil.rmtree(tmp_path / "work" / "train")
    again = forecast("final", params, settings, paths)
    assert again.time_s == pytest.approx(note["wall_s"])
    final_run(params, settings, paths)
    final_run(params, settings, paths)
    assert read_json(tmp_path / "work" / "runs" / "final-drawn-audio_only.json")["epochs"] == 2
    monkeypatch.setattr("foalnet.stages.final.model.threads", lambda _: 7)
    shutil.rmtree(tmp_path / "work" / "train")
    assert forecast("final", params, settings, paths).time_s is None, "another speed is not this one's"


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    settings = Settings(work=tmp_path)
    assert read_speed(settings, "draw-drawn") == {}
    for text in ("", "[1]", "{}", '{"wall_s": null, "workers": 1, "video_s": 0, "bytes": 3}'):
        speed_path(settings, "draw-drawn").parent.mkdir(exist_ok=True)
        speed_path(settings, "draw-drawn").write_text(text)
        given = Context(params=corpus_params(), settings=settings, paths=Paths("drawn", tmp_path))
        assert drawing.forecast(given).time_s is None


def test_draw_features_and_final_say_it_and_write_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path, make_store())
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    before, path = listing(tmp_path), str(REPOSITORY)
    shown = verb(tmp_path, "draw", "--dry-run", PYTHONPATH=path).stdout
    assert shown.startswith("draw would run:\n  30 dialogues, 480 utterances\n  sound and picture of 30 of them")
    assert shown.endswith("nothing was written\n")
    shown = verb(tmp_path, "features", "drawn", "--dry-run", PYTHONPATH=path).stdout
    assert shown.startswith("features drawn would run:\n  no encoder in params") and "disk: up to 0 kB" in shown
    refused = verb(tmp_path, "final", "drawn", "--dry-run", check=False, PYTHONPATH=path)
    assert refused.returncode == 3 and "train.json" in refused.stderr
    assert listing(tmp_path) == before


def test_a_rate_holds_for_the_picture_that_was_looked_at_and_whatever_params_are_free(tmp_path: Path) -> None:
    settings, params = Settings(work=tmp_path, workers=1), corpus_params()
    seen = params.train.of("foal_half").model_dump(mode="json")
    seen["audio"]["dropout"] = 0.25
    note = {"device": "cpu", "epochs": 4, "processes": 1, "params": seen, "wall_s": 8.0, "workers": 1}
    publish_bytes(speed_file(settings, "other", "foal_half"), json_bytes(note))

    def rate(variant: str, **more: Any) -> float | None:
        return training_rate(settings, params, variant, device="cpu", noted_as="other", **more)[0]

    assert rate("foal_half", free=["audio.dropout"]) == 2.0
    assert rate("foal_half") is None and rate("foal", free=["audio.dropout"]) is None
