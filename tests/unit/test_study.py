"""A study: the runs that `train` and `evaluate` would make, kept and resumed, compared on one board."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.config.load import Entry, File
from foalnet.config.studies import Study
from foalnet.core.errors import DataError, Interrupted, UsageError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.core.records import Prediction
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.group import Group, Job, check_order
from foalnet.stages.train.training import train_run
from foalnet.study import run_study, train_part
from foalnet.study.board import Trained, best_single, board, ranks_of, unit_of_run
from foalnet.study.page import page
from foalnet.study.plan import Plan, part_of, plan_of
from foalnet.train.state import Progress
from tests.support.corpus.rows import utterance
from tests.support.corpus.stores import corpus_params, make_store, write_corpus

VARIANTS = ["audio_only", "foal"]
SESSIONS = [f"Session{n}" for n in range(1, 6)]


def plan(seeds: tuple[int, ...] = (1, 2), **changes: object) -> Plan:
    study = Study.model_validate(
        {"corpus": "drawn", "variants": VARIANTS, "seeds": list(seeds), "reference": "foal", **changes}
    )
    return Plan(name="small", study=study, params=corpus_params(epochs=1))


@pytest.fixture
def place(tmp_path: Path) -> tuple[Paths, Settings]:
    synthetic = make_store(groups=5, per_group=8)
    return write_corpus(tmp_path, synthetic), Settings(work=tmp_path / "work", workers=1, device="cpu")


@pytest.mark.long
def test_a_run_of_a_study_has_the_predictions_of_the_stages(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    text = run_study(plan(variants=[*VARIANTS, "gmu"]), settings, paths)
    out = paths.study("small")
    assert sorted(path.name for path in out.iterdir()) == [
        "audio_only-s1", "audio_only-s2", "board.json", "board.md", "foal-s1", "foal-s2", "foal.svg", "gmu-s1",
        "gmu-s2", "gmu.svg",
    ]  # fmt: skip
    assert (out / "board.md").read_text() == text
    assert "One modality and no weights, so that there is nothing to show: audio\\_only." in text
    params = plan().params
    train_run(params, settings, paths, variant="foal", seed=2)
    metrics = evaluate_run(params, paths, variant="foal", seed=2)["loso_dev_session"]
    assert (paths.run("foal", 2) / "predictions.jsonl").read_bytes() == (out / "foal-s2/predictions.jsonl").read_bytes()
    ours = read_json(out / "foal-s2/metrics.json")
    assert {name: metrics[name] for name in ("pooled", "over_folds", "cluster", "select")} == {
        name: ours[name] for name in ("pooled", "over_folds", "cluster", "select")
    }


@pytest.mark.long
def test_a_second_study_trains_the_new_runs_alone_and_an_interrupted_one_resumes(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, settings = place
    real, trained = Group.trained, list[tuple[str, int]]()

    def counted(group: Group, job):  # type: ignore[no-untyped-def]
        if len(trained) == 3:
            raise Interrupted("stopped", action="run it again")
        trained.append((job.run.variant, job.run.seed))
        return real(group, job)

    monkeypatch.setattr(Group, "trained", counted)
    with pytest.raises(Interrupted):
        run_study(plan(), settings, paths)
    assert trained == [("audio_only", 1), ("audio_only", 2), ("foal", 1)] and not paths.study("small").exists()
    trained.clear()
    first = run_study(plan(), settings, paths)
    assert trained == [("foal", 2)]
    trained.clear()
    assert run_study(plan(), settings, paths) == first and trained == []
    run_study(plan(seeds=(2, 3)), settings, paths)
    assert trained == [("audio_only", 3), ("foal", 3)]
    # The files of runs that are no longer part of the study are gone.
    assert not list(paths.study("small").glob("foal-s1/*")) and list(paths.study("small").glob("foal-s3/*"))
    for damaged in (settings.work / "study").glob("*/predictions.jsonl"):
        damaged.write_text("")
    trained.clear()
    run_study(plan(seeds=(3,)), settings, paths)
    assert trained == [("audio_only", 3), ("foal", 3)]


@pytest.mark.long
def test_parts_of_the_seeds_make_the_same_study(place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    paths, settings = place
    assert [part_of(plan(), text) for text in ("1/1", "2/2")] == [(1, 1), (2, 2)]
    for text in ("0/2", "3/2", "1/3", "1", "1/0", "a/b"):
        with pytest.raises(UsageError, match="has 2 seeds, each trained by one part"):
            part_of(plan(), text)
    for number in (2, 1):
        assert train_part(plan(), settings, paths, number, 2).startswith(f"part {number} of 2: 2 runs of study small")
    assert not paths.study("small").exists()
    monkeypatch.setattr(Group, "trained", None)
    run_study(plan(), settings, paths)
    assert sorted(path.name for path in paths.study("small").glob("*-s*")) == [
        "audio_only-s1", "audio_only-s2", "foal-s1", "foal-s2"
    ]  # fmt: skip


def trained(seed: int, right: dict[str, float], inputs: list[str], dev_ua: float) -> Trained:
    """A run that is right for a share of each session's utterances."""
    rows = {}
    for session in SESSIONS:
        for i in range(20):
            label = "ab"[i % 2]
            key = f"{session}_{i:02d}"
            predicted = label if i < 20 * right[session] else "ab"[(i + 1) % 2]
            rows[key] = Prediction(
                key=key, fold=session, session=session, dialogue=session, speaker=f"{session}{i % 2}", label=label,
                predicted=predicted, probabilities=(0.5, 0.5),
            )  # fmt: skip
    ua = sum(row.label == row.predicted for row in rows.values()) / len(rows)
    facts = {
        "method": "m", "inputs": inputs, "parameters": 5, "trained_parameters": 3, "flops": 2_500_000, "dev_ua": dev_ua,
    }  # fmt: skip
    pooled = {"ua": ua, "wa": ua, "weighted_f1": ua}
    metrics = {
        "cluster": "dialogue", "classes": ["a", "b"], "folds": dict.fromkeys(SESSIONS), "pooled": pooled,
        "facts": facts, "explain": {},
    }  # fmt: skip
    return Trained(seed=seed, metrics=metrics, rows=rows)


def shares(level: float, *changes: float) -> dict[str, float]:
    return {session: level + change for session, change in zip(SESSIONS, changes, strict=True)}


def test_the_board_says_better_equal_and_not_decided() -> None:
    steady = (0.0, 0.0, 0.0, 0.0, 0.0)
    runs = {
        "foal": [trained(seed, shares(0.8, *steady), ["audio", "video"], 0.8) for seed in (1, 2)],
        "low": [trained(seed, shares(0.5, 0.0, 0.1, 0.0, 0.0, 0.0), ["audio"], 0.6) for seed in (1, 2)],
        "same": [trained(seed, shares(0.8, *steady), ["audio", "video"], 0.8) for seed in (1, 2)],
        "wild": [trained(seed, shares(0.7, -0.4, 0.3, 0.2, -0.3, 0.3), ["video"], 0.5) for seed in (1, 2)],
    }
    study = Study(corpus="drawn", variants=list(runs), seeds=[1, 2], reference="foal")
    facts = board(Plan(name="s", study=study, params=corpus_params()), runs)
    verdicts = {name: row["verdict"] for name, row in facts["differences"].items()}
    assert verdicts == {
        "low - foal": "worse", "same - foal": "equal", "wild - foal": "not decided",
        "same - low": "better", "wild - low": "not decided",
    }  # fmt: skip
    assert facts["unit"] == "session" and facts["best_single"] == "low"
    low = facts["differences"]["low - foal"]
    # 0.52 - 0.80; over five sessions -0.3, -0.2, -0.3, -0.3, -0.3.
    assert low["ua"] == -0.28 and low["df"] == 4.0
    assert low["high"] == pytest.approx(-0.28 + 2.7764 * 0.02, abs=1e-4)
    # Five comparisons: the smallest p counts five times.
    smallest = min((row for row in facts["differences"].values() if row["p"] is not None), key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(5 * smallest["p"], abs=1e-6)
    assert facts["ranks"]["variants"]["foal"] == {"mean": 1.5, "best": 1.5, "worst": 1.5}
    # More seeds cannot make the spread over sessions smaller.
    assert list(facts["power"]) == ["3", "5", "10", "15", "20", "40"]
    assert facts["power"]["40"]["largest"] <= facts["power"]["3"]["largest"]
    text = page(facts)
    assert "is out of reach with any of these numbers of seeds" in text and "| 2.5 |" in text
    assert "| low - foal | -28.0 |" in text and "| worse |" in text and "Kendall's W is 1.00" in text
    # Every session and seed has the same score: no interval, and a difference of 0 without one.
    assert "| foal | m | audio, video | 80.0 | - |" in text
    assert "| same - foal | +0.0 | - | - | 1.000 | equal | - |" in text


def test_one_seed_is_named_first_and_two_orders_have_no_agreement() -> None:
    steady = (0.0, 0.0, 0.0, 0.0, 0.0)
    one = {name: [trained(1, shares(level, *steady), ["audio"], level)] for name, level in (("a", 0.6), ("b", 0.7))}
    study = Study(corpus="drawn", variants=["a", "b"], seeds=[1], reference="a")
    text = page(board(Plan(name="s", study=study, params=corpus_params()), one))
    assert (
        "What more seeds would detect" not in text
        and "**One seed was trained**" in text
        and "One seed gives one order." in text
    )
    two = {
        name: [each[0], replace(one[other][0], seed=2)] for (name, each), other in zip(one.items(), "ba", strict=True)
    }
    assert ranks_of(two)["kendall_w"] == 0.0
    assert best_single(one) == "b"


def test_the_unit_is_the_speaker_where_folds_are_of_speakers_and_the_dialogue_of_a_fixed_test_part() -> None:
    run = trained(1, shares(0.5, 0.0, 0.0, 0.0, 0.0, 0.0), ["audio"], 0.5)
    assert unit_of_run(replace(run, metrics={**run.metrics, "cluster": "speaker"})) == "speaker"
    assert unit_of_run(replace(run, metrics={**run.metrics, "folds": {"test": None}})) == "dialogue"


def file_of(**study: object) -> File:
    """A params file with a corpus and a study of it."""
    params = corpus_params()
    train = {name: value for name, value in params.train.model_dump().items() if name not in ("methods", "variants")}
    entry = Entry(
        reader="iemocap", source="data/drawn/raw", variants=["audio_only"], seeds=[1], shards={}, evaluate={},
        report={}, manifest={"classes": params.manifest.classes}, train=train,
    )  # fmt: skip
    base = {
        "corpus": "drawn",
        "variants": ["audio_only", "video_only", "baseline"],
        "seeds": [1],
        "reference": "baseline",
    }
    return File(corpora={"drawn": entry}, studies={"s": Study.model_validate(base | study)})


def test_a_plan_has_each_variants_own_settings_also_for_the_encoders() -> None:
    file = file_of(
        train={"encoders": "single", "epochs": 3}, settings={"baseline": {"lr": 0.5}, "audio_only": {"lr": 0.25}},
        compare=[["audio_only", "video_only"], ["baseline", "audio_only"]],
    )  # fmt: skip
    plan = plan_of(file, "s")
    trains = plan.trains()
    assert {name: train.lr for name, train in trains.items()} == {
        "audio_only": 0.25, "video_only": plan.params.train.lr, "baseline": 0.5
    }  # fmt: skip
    assert plan.params.train.epochs == 3 and plan.runs() == [("audio_only", 1), ("video_only", 1), ("baseline", 1)]
    assert plan.pairs() == [("audio_only", "baseline"), ("video_only", "baseline"), ("audio_only", "video_only")]


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"variants": ["audio_only", "audio_only"], "reference": "audio_only"}, "one occurs twice"),
        ({"seeds": [1, 1]}, "one occurs twice"),
        ({"reference": "foal"}, "'foal' is not among its variants"),
        ({"compare": [["baseline", "baseline"]]}, "baseline with itself"),
        ({"train": {"methods": {"foal": {"layers": 2}}}}, "a block of its own"),
        ({"settings": {"baseline": {"fold_by": "speaker"}}}, "all variants have the same"),
        ({"settings": {"baseline": {"lrr": 0.1}}}, "settings.baseline.lrr: unknown"),
        ({"settings": {"baseline": {"lr": -1.0}}}, "settings"),
        ({"search": 2, "settings": {"baseline": {"lr": 0.1}}}, "settings.baseline.lr: `search` sets it"),
        ({"settings": {"mem": {"lr": 0.1}}}, "'mem' is not among its variants"),
    ],
)
def test_a_study_that_would_compare_unlike_with_unlike_is_refused(study: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        plan_of(file_of(**study), "s")


def test_the_name_of_a_study_is_no_path() -> None:
    file = file_of()
    file = file.model_copy(update={"studies": {"../runs": file.studies["s"]}})
    with pytest.raises(UsageError, match="cannot name a study"):
        plan_of(file, "../runs")
    with pytest.raises(UsageError, match="no study 't'"):
        plan_of(file_of(), "t")


def test_a_run_that_fails_is_named_and_its_variant_is_compared_with_no_other(
    place: tuple[Paths, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, settings = place
    real = Group.trained

    def fails(group: Group, job: Job) -> dict[str, Progress]:
        if (job.run.variant, job.run.seed) == ("video_only", 2):
            raise DataError("4 steps had a loss that is not finite", action="lower train.lr")
        return real(group, job)

    monkeypatch.setattr(Group, "trained", fails)
    text = run_study(plan(variants=["audio_only", "foal", "video_only"]), settings, paths)
    facts = read_json(paths.study("small") / "board.json")
    assert facts["failed"] == {"video_only-s2": "4 steps had a loss that is not finite"}
    assert sorted(facts["variants"]) == ["audio_only", "foal"] and list(facts["differences"]) == ["audio_only - foal"]
    assert "- video\\_only-s2: 4 steps had a loss that is not finite" in text
    # No checkpoint is left of what the study trained.
    assert not list((settings.work / "train").glob("*"))


def test_runs_of_other_folds_are_not_compared() -> None:
    steady = (0.0, 0.0, 0.0, 0.0, 0.0)
    one = {name: [trained(1, shares(0.6, *steady), ["audio"], 0.6)] for name in "ab"}
    moved = {key: replace(row, fold="other") for key, row in one["b"][0].rows.items()}
    study = Study(corpus="drawn", variants=["a", "b"], seeds=[1], reference="a")
    with pytest.raises(DataError, match="not tested on the same utterances"):
        board(
            Plan(name="s", study=study, params=corpus_params()),
            one | {"b": [replace(one["b"][0], rows=moved)]},
        )


def test_turns_that_only_names_order_are_refused() -> None:
    params = corpus_params()
    tied = [utterance(f"d_{i}", dialogue="d", start_s=0.0, end_s=1.0) for i in range(3)]
    with pytest.raises(UsageError, match="only their names would order them"):
        check_order(params, tied, "text_turns")
    check_order(params, tied, "foal")
    check_order(params, [replace(u, start_s=float(i)) for i, u in enumerate(tied)], "text_turns")
    transcript = params.manifest.model_copy(update={"turns": "transcript"})
    check_order(params.model_copy(update={"manifest": transcript}), tied, "text_turns")
