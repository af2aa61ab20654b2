"""The hyperparameter search: the same for every variant, only on dev parts, resumed to the same bytes."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from foalnet.config import Params, Settings
from foalnet.config.blocks import Train
from foalnet.config.load import merge
from foalnet.config.space import nested, with_values
from foalnet.config.tuning import Tune
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.core.files import read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.stages.train import group
from foalnet.stages.train.training import train_folds, train_run
from foalnet.train.speed import reached
from foalnet.tune import bench as benches
from foalnet.tune import tune, tune_forecast
from foalnet.tune.sampler import Sampler
from foalnet.tune.search import Searched, outside
from foalnet.tune.summary import alike, facts_of, page, snippet
from tests.support.corpus.stores import CLASSES, corpus_params, make_params, make_run, make_store, write_corpus
from tests.support.projects import REPOSITORY, verb
from tests.support.sealing import vouch

NEEDED = "the search needs the extra `tune`: pip install -e '.[tune]'"
SPACE: dict[str, Any] = {
    "lr": {"low": 1e-3, "high": 1e-2, "log": True},
    "methods.foal.beta": {"low": 0.0, "high": 1.0},
    "methods.foal.heads": {"choices": [1, 2]},
}


def searched_params(*, space: dict[str, Any] | None = None, **tune_over: Any) -> Params:
    """Params of the small corpus with a search of three trials, two of them by chance."""
    params = corpus_params(epochs=2)
    tune = {"space": SPACE if space is None else space, "trials": 3, "random": 2} | tune_over
    return params.model_copy(update={"tune": Tune.model_validate(tune)})


def files(paths: Paths) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(paths.tune.iterdir())}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("search"), make_store(per_group=4)).home


@pytest.fixture
def place(home: Path, tmp_path: Path) -> tuple[Paths, Settings]:
    """Paths with the module's data and the test's own outputs; settings with their own work folder."""
    pytest.importorskip("optuna", reason=NEEDED)
    (tmp_path / "data").symlink_to(home / "data")
    return Paths("drawn", tmp_path), Settings(work=tmp_path / "work", workers=1, device="cpu")


@pytest.mark.long
def test_a_search_leaves_its_trials_and_a_summary_and_repeats_itself(
    place: tuple[Paths, Settings], tmp_path: Path
) -> None:
    paths, settings = place
    params = searched_params()
    heard: list[str] = []
    says = tune(params, settings, paths, log=heard.append)
    first = files(paths)
    assert sorted(first) == ["audio_only.jsonl", "foal.jsonl", "summary.json", "summary.md"]
    for variant in ("audio_only", "foal"):
        rows = read_jsonl(paths.tune / f"{variant}.jsonl")
        assert [(row["number"], row["drawn"]) for row in rows] == [(1, "random"), (2, "random"), (3, "tpe")]
        for row in rows:
            folds = row["runs"][0]["folds"]
            assert list(row["params"]) == sorted(SPACE) and row["state"] == "complete"
            assert len(folds) == 5 and row["dev_ua"] == pytest.approx(sum(f["dev_ua"] for f in folds.values()) / 5)
    summary = read_json(paths.tune / "summary.json")
    best = max(read_jsonl(paths.tune / "foal.jsonl"), key=lambda row: row["dev_ua"])
    assert summary["variants"]["foal"]["best"]["dev_ua"] == best["dev_ua"]
    assert summary["variants"]["audio_only"]["without_effect"] == ["methods.foal.beta", "methods.foal.heads"]
    assert summary["search"]["space"].keys() == SPACE.keys() and summary["versions"]["optuna"]
    assert "without effect on this variant: `methods.foal.beta`, `methods.foal.heads`" in first["summary.md"].decode()
    assert sum(" trial " in line for line in heard) == 6 and "device cpu" in heard[0]
    assert "no test session was scored" in says
    # In another work folder, and again where everything is kept: the same bytes.
    for work in (tmp_path / "other", settings.work):
        tune(params, settings.model_copy(update={"work": work}), paths)
        assert files(paths) == first


def test_the_same_settings_are_drawn_until_scores_part_them(place: tuple[Paths, Settings]) -> None:
    drawn = []
    for score in (0.9, 0.1):
        sampler = Sampler(searched_params(trials=6).tune)
        rows = []
        for number in range(6):
            rows.append(sampler.draw())
            sampler.record(score / (number + 1) if score > 0.5 else score * (number + 1))
        drawn.append(rows)
    assert drawn[0][:2] == drawn[1][:2] and drawn[0][2:] != drawn[1][2:]


@pytest.mark.long
def test_every_variant_is_given_the_same_settings(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    tune(searched_params(trials=2), settings, paths)
    rows = [read_jsonl(paths.tune / f"{variant}.jsonl") for variant in ("audio_only", "foal")]
    assert [row["params"] for row in rows[0]] == [row["params"] for row in rows[1]]
    alike = read_json(paths.tune / "summary.json")["alike"]
    means = [(a["dev_ua"] + b["dev_ua"]) / 2 for a, b in zip(*rows, strict=True)]
    assert alike["dev_ua"] == pytest.approx(max(means), abs=1e-6) and set(alike["variants"]) == {"audio_only", "foal"}


def test_a_space_is_drawn_from_as_it_is_stated(place: tuple[Paths, Settings]) -> None:
    space = SPACE | {"batch_size": {"low": 4, "high": 64, "log": True}, "clip_norm": {"choices": [None, 0.5]}}
    sampler = Sampler(Tune.model_validate({"space": space, "random": 40}))
    rows = []
    for _ in range(40):
        rows.append(sampler.draw())
        sampler.record(0.5)
    assert all(1e-3 <= row["lr"] <= 1e-2 for row in rows) and len({row["lr"] for row in rows}) == 40
    assert all(float(f"{row['lr']:.4g}") == row["lr"] for row in rows), "short enough for params.yaml"
    assert sum(row["lr"] < 10**-2.5 for row in rows) > 10, "even over the logarithm"
    assert {type(row["batch_size"]) for row in rows} == {int} and {row["clip_norm"] for row in rows} == {None, 0.5}
    assert [with_values(Train(), row).batch_size for row in rows] == [row["batch_size"] for row in rows]


@pytest.mark.long
def test_a_search_that_was_stopped_goes_on_to_the_same_bytes(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths, settings = place
    params = searched_params(variants=["foal"])
    tune(params, settings, paths)
    straight = files(paths)
    for name in straight:
        (paths.tune / name).unlink()
    settings = settings.model_copy(update={"work": tmp_path / "stopped"})
    trained: list[str] = []

    def stopped(run: Any, store: Any, settings: Settings, work: Path) -> Any:
        """Stop before the 12th fold that is trained, as a signal does: folds before it are at their end."""
        for place_of, fold in enumerate(run.folds):
            if len(trained) == 11:
                raise Interrupted("stopped")
            trained.append(fold.name)
            train_folds(replace(run, folds=run.folds[: place_of + 1]), store, settings, work)
        return train_folds(run, store, settings, work)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(benches, "train_folds", stopped)
        tune(params, settings, paths)
    assert not paths.tune.exists() or files(paths) == {}, "nothing half done is published"
    assert len(list((settings.work / "tune").glob("*.json"))) == 2, "every run that came to its end has its record"
    done: list[Any] = []

    def counted(run: Any, *rest: Any) -> Any:
        done.append(run.variant)
        return train_folds(run, *rest)

    monkeypatch.setattr(benches, "train_folds", counted)
    tune(params, settings, paths)
    assert files(paths) == straight and len(done) == 2


@pytest.mark.long
def test_a_larger_budget_goes_on_with_the_trials_there_are(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, settings = place
    tune(searched_params(trials=2, variants=["audio_only"]), settings, paths)
    first = read_jsonl(paths.tune / "audio_only.jsonl")
    done: list[str] = []
    monkeypatch.setattr(
        benches, "train_folds", lambda run, *rest: (done.append(run.variant), train_folds(run, *rest))[1]
    )
    tune(searched_params(trials=4, variants=["audio_only"]), settings, paths)
    assert read_jsonl(paths.tune / "audio_only.jsonl")[:2] == first and len(done) == 2


def test_labels_of_test_sessions_cannot_reach_a_trial(tmp_path: Path) -> None:
    """Other labels on a fold's test session leave what is kept of a trial as it is; on its dev session they do not."""
    synthetic = make_store(per_group=4)
    settings = Settings(work=tmp_path, workers=1, device="cpu")
    run = make_run(synthetic, "foal", params=make_params(epochs=4))
    fold = run.folds[0]

    def scored(part: tuple[str, ...], turn: int) -> dict[str, Any]:
        labels = {
            key: CLASSES[(CLASSES.index(label) + turn) % 4] if run.groups[key] in part else label
            for key, label in run.labels.items()
        }
        one = replace(run, folds=(fold,), labels=labels)
        return benches.score_run(one, synthetic.store, settings, tmp_path / f"{part}-{turn}")

    same = scored(fold.test, 0)
    assert same == scored(fold.test, 1) == scored(fold.test, 2)
    assert any(scored(fold.dev, turn) != same for turn in range(1, 4))


def test_nothing_of_a_test_part_is_kept(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    tune(searched_params(trials=1, random=1, variants=["audio_only"]), settings, paths)
    text = "".join(path.read_text() for path in [*paths.tune.iterdir(), *(settings.work / "tune").iterdir()])
    assert "logits" not in text and not any(key in text for key in make_store(per_group=4).labels)


def test_a_failing_trial_is_kept_with_its_reason_and_the_search_goes_on(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    # With 3 heads a width of 16 cannot be divided.
    space = {"lr": {"choices": [0.005, 0.01]}, "methods.foal.heads": {"choices": [2, 3]}}
    params = searched_params(space=space, trials=4, random=4, seed=5, variants=["avel"])
    says = tune(params, settings, paths)
    rows = read_jsonl(paths.tune / "avel.jsonl")
    for row in rows:
        wrong = row["params"]["methods.foal.heads"] == 3
        assert (row["state"], row["dev_ua"] is None) == (("failed", True) if wrong else ("complete", False)), row
    assert {row["state"] for row in rows} == {"failed", "complete"}
    assert all("head" in row["reason"] for row in rows if row["state"] == "failed")
    summary = read_json(paths.tune / "summary.json")["variants"]["avel"]
    assert summary["failed"] == sum(row["state"] == "failed" for row in rows) and summary["best"]["dev_ua"] > 0
    assert "failed" in says and "head" in (paths.tune / "summary.md").read_text()


def test_a_failed_trial_counts_as_the_worst(place: tuple[Paths, Settings]) -> None:
    drawn = []
    for score in (None, 0.0):
        sampler = Sampler(searched_params().tune)
        rows = []
        for number in range(6):
            rows.append(sampler.draw())
            sampler.record(score if number % 2 else 0.5)
        drawn.append(rows)
    assert drawn[0] == drawn[1]


def test_a_corpus_that_fails_every_trial_is_refused_before_any_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason=NEEDED)
    synthetic = make_store(per_group=4)
    paths = write_corpus(tmp_path, synthetic)
    monkeypatch.setattr(benches, "train_folds", lambda *_: pytest.fail("nothing is to be trained"))
    row = json.loads(paths.manifest.read_text().splitlines()[-1])
    row |= {"key": "h1_000", "session": "Session9", "dialogue": "Session9_d1", "speaker": "Session9F"}
    paths.manifest.write_text(paths.manifest.read_text() + json.dumps(row) + "\n")
    vouch(paths.manifest)
    with pytest.raises(DataError, match="Session9"):
        tune(searched_params(), Settings(work=tmp_path / "work", device="cpu"), paths)


@pytest.mark.long
def test_the_setting_that_won_is_trained_already(place: tuple[Paths, Settings]) -> None:
    """Its states stay; those of the others go; `train` with the lines that were printed trains no epoch."""
    paths, settings = place
    params = searched_params(variants=["foal"])
    tune(params, settings, paths)
    best = read_json(paths.tune / "summary.json")["variants"]["foal"]["best"]
    states = sorted((settings.work / "train").iterdir())
    assert len(states) == 2, "the best trial's, and those of the params as they stand"
    says = yaml.safe_load(snippet("drawn", best["params"]))
    searched = nested(best["params"])
    methods = searched.pop("methods")
    assert says == {"corpora": {"drawn": {"train": searched, "methods": methods}}}
    train = Train.model_validate(merge(params.train.model_dump(), searched | {"methods": methods}))
    train_run(params.model_copy(update={"train": train}), settings, paths, variant="foal", seed=1)
    assert sorted((settings.work / "train").iterdir()) == states, "no other run was begun"
    facts = read_json(paths.model("foal", 1) / "train.json")
    assert facts["params"] == best["key"]
    dev = [max(fold["dev_ua"]) for fold in facts["folds"].values()]
    assert best["dev_ua"] == pytest.approx(sum(dev) / len(dev), abs=1e-6)
    assert all(reached(path)[1] for folder in states for path in folder.iterdir())


def test_states_that_train_would_go_on_from_stay_where_a_trial_draws_the_params_as_they_stand(
    place: tuple[Paths, Settings],
) -> None:
    paths, settings = place
    space = {"methods.foal.heads": {"choices": [1, 2]}}
    params = searched_params(space=space, trials=4, random=4, variants=["audio_only"])
    tune(params, settings, paths)
    rows = read_jsonl(paths.tune / "audio_only.jsonl")
    assert {row["params"]["methods.foal.heads"] for row in rows} == {1, params.train.methods["foal"]["heads"]}
    assert len({row["dev_ua"] for row in rows}) == 1, "the variant does not feel it: the first trial is the best"
    bench = benches.Bench.of(params, settings, paths)
    for train in (params.train, with_values(params.train, rows[0]["params"])):
        folder = bench.job("audio_only", 1, train).folder
        assert folder.is_dir() and all(reached(path)[1] for path in folder.glob("Session?.safetensors"))


@pytest.mark.parametrize(("standing", "better"), [(0.4, True), (0.5, False), (None, True)])
def test_lines_for_params_are_given_only_where_they_are_better(standing: float | None, better: bool) -> None:
    values = {"lr": 0.003, "methods.foal.beta": 0.5}
    runs = [{"seed": 1, "folds": {"Session1": {"dev_ua": 0.5, "epoch": 1, "epochs_run": 2}}}]
    row: dict[str, Any] = {"params": values, "dev_ua": 0.5, "runs": runs, "reason": None, "state": "complete"}
    trial = row | {"variant": "audio_only", "number": 1, "drawn": "random", "key": "k"}
    searched = Searched(
        variant="audio_only",
        trials=(trial,),
        committed=row | {"dev_ua": standing, "state": "complete" if standing else "failed"},
        without_effect=("methods.foal.beta",),
    )
    other = replace(searched, variant="foal", trials=(trial | {"variant": "foal"},), without_effect=())
    corpus = {"corpus": "drawn", "search": searched_params().tune.model_dump(mode="json"), "sampler": "TPE"}
    text = page(
        corpus
        | {"variants": {each.variant: facts_of(each) for each in (searched, other)}, "alike": alike((searched, other))},
        (searched, other),
    )
    assert ("beta: 0.5" in text) == better and ("is better than params.yaml as it stands" in text) != better
    if better:
        first, second, both = [yaml.safe_load(part.split("```")[0]) for part in text.split("```yaml\n")[1:]]
        assert first == {"corpora": {"drawn": {"train": {"lr": 0.003}}}}, "what audio_only does not feel is left out"
        blocks = {"train": {"lr": 0.003}, "methods": {"foal": {"beta": 0.5}}}
        assert second == both == {"corpora": {"drawn": blocks}}


@pytest.mark.long
def test_seeds_of_a_trial_are_averaged(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    tune(searched_params(trials=1, random=1, seeds=[1, 2], variants=["audio_only"]), settings, paths)
    (row,) = read_jsonl(paths.tune / "audio_only.jsonl")
    scores = [fold["dev_ua"] for run in row["runs"] for fold in run["folds"].values()]
    assert [run["seed"] for run in row["runs"]] == [1, 2] and len(scores) == 10
    assert row["dev_ua"] == pytest.approx(sum(scores) / 10, abs=1e-6)


@pytest.mark.long
def test_clips_are_read_once_unless_the_space_reads_them_otherwise(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, settings = place
    read: list[int] = []
    real = group.load_store

    def counted(shards: Any, keys: Any, params: Train, *others: Any) -> Any:
        read.append(params.frame_step)
        return real(shards, keys, params, *others)

    monkeypatch.setattr(group, "load_store", counted)
    tune(searched_params(trials=2, variants=["audio_only", "foal"]), settings, paths)
    assert len(read) == 1
    steps = searched_params(space={"frame_step": {"choices": [1, 2]}}, trials=4, random=4, variants=["foal"])
    tune(steps, settings, paths)
    assert set(read) == {1, 2}


def test_a_value_that_its_space_does_not_hold_is_said(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    assert outside(searched_params()) == []
    space = {"lr": {"low": 0.1, "high": 0.2}, "clip_norm": {"choices": [None, 0.5]}, "lr_encoder": SPACE["lr"]}
    notes = outside(searched_params(space=space))
    assert [line.split()[1] for line in notes] == ["train.clip_norm", "train.lr", "train.lr_encoder"]
    assert notes[1] in str(tune_forecast(searched_params(space=space), settings, paths))


def test_without_optuna_it_is_said_how_to_get_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(benches, "train_folds", lambda *_: pytest.fail("nothing is to be trained"))
    with pytest.raises(MachineError, match=re.escape("pip install -c constraints.txt -e '.[tune]'")):
        tune(searched_params(), Settings(work=tmp_path, device="cpu"), Paths("drawn", home))


def test_several_processes_are_not_a_searchs_and_it_is_said(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, settings = place
    heard, params = list[str](), searched_params(trials=1, variants=["audio_only"])
    tune(params, settings.model_copy(update={"train_processes": 3}), paths, log=heard.append)
    assert "train_processes is 3" in heard[0] and read_json(paths.tune / "summary.json")["processes"] == 1
    assert tune_forecast(params, settings, paths).left == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process"):
        tune(params, settings, paths)


def test_a_dry_run_counts_what_is_left_and_writes_nothing(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    params = searched_params(variants=["audio_only"])
    forecast = tune_forecast(params, settings, paths)
    assert forecast.left == 4 and forecast.time_s is None and not settings.work.exists()
    assert "audio_only: 4 of 4 runs left, 5 folds each, at most 2 epochs a fold" in str(forecast)
    tune(params, settings, paths)
    assert tune_forecast(params, settings, paths).left == 0
    more = tune_forecast(searched_params(variants=["audio_only"], trials=5), settings, paths)
    assert more.left == 2 and more.time_s is not None and "last measured" in str(more)
    longer = tune_forecast(searched_params(space=SPACE | {"epochs": {"low": 2, "high": 9}}), settings, paths)
    assert "at most 9 epochs" in str(longer)


def test_the_verb_says_what_would_run_without_the_corpus() -> None:
    done = verb(REPOSITORY, "tune", "drwan", "--dry-run", check=False)
    assert done.returncode == 2 and "did you mean 'drawn'" in done.stderr
