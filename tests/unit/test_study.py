"""A study: the runs that `train` and `evaluate` would make, kept and resumed, compared on one board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.config.studies import Study
from foalnet.core.errors import Interrupted
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.core.records import Prediction
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.group import Group
from foalnet.stages.train.training import train_run
from foalnet.study import run_study
from foalnet.study.board import Trained, best_single, board, ranks_of, unit_of
from foalnet.study.page import page
from foalnet.study.plan import Plan
from tests.support.corpus.stores import corpus_params, make_store, write_corpus

VARIANTS = ["audio_only", "foal"]
SESSIONS = [f"Session{n}" for n in range(1, 6)]


def plan(seeds: tuple[int, ...] = (1, 2), **changes: object) -> Plan:
    study = Study.model_validate(
        {"corpus": "drawn", "variants": VARIANTS, "seeds": list(seeds), "reference": "foal", **changes}
    )
    return Plan(name="small", study=study, params=corpus_params(epochs=2))


@pytest.fixture
def place(tmp_path: Path) -> tuple[Paths, Settings]:
    synthetic = make_store(groups=5, per_group=8)
    return write_corpus(tmp_path, synthetic), Settings(work=tmp_path / "work", workers=1, device="cpu")


def test_a_run_of_a_study_has_the_predictions_of_the_stages(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    text = run_study(plan(), settings, paths)
    out = paths.study("small")
    assert sorted(path.name for path in out.iterdir()) == [
        "audio_only-s1", "audio_only-s2", "board.json", "board.md", "foal-s1", "foal-s2"
    ]  # fmt: skip
    assert (out / "board.md").read_text() == text
    params = plan().params
    train_run(params, settings, paths, variant="foal", seed=2)
    metrics = evaluate_run(params, paths, variant="foal", seed=2)["loso_dev_session"]
    assert (paths.run("foal", 2) / "predictions.jsonl").read_bytes() == (out / "foal-s2/predictions.jsonl").read_bytes()
    ours = read_json(out / "foal-s2/metrics.json")
    assert {name: metrics[name] for name in ("pooled", "over_folds", "cluster", "select")} == {
        name: ours[name] for name in ("pooled", "over_folds", "cluster", "select")
    }


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
        "method": "m", "inputs": inputs, "parameters": 5, "trained_parameters": 3, "dev_ua": dev_ua, "epochs": 2.0
    }  # fmt: skip
    pooled = {"ua": ua, "wa": ua, "weighted_f1": ua}
    metrics = {
        "cluster": "dialogue", "classes": ["a", "b"], "folds": dict.fromkeys(SESSIONS), "pooled": pooled, "facts": facts
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
    smallest = min(facts["differences"].values(), key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(5 * smallest["p"], abs=1e-6)
    assert facts["ranks"]["variants"]["foal"] == {"mean": 1.5, "best": 1.5, "worst": 1.5}
    text = page(facts)
    assert "| low - foal | -28.0 |" in text and "| worse |" in text and "Kendall's W is 1.00" in text
    # Every session and seed has the same score: no interval.
    assert "| foal | m | audio, video | 80.0 | - |" in text


def test_one_seed_is_named_first_and_two_orders_have_no_agreement() -> None:
    steady = (0.0, 0.0, 0.0, 0.0, 0.0)
    one = {name: [trained(1, shares(level, *steady), ["audio"], level)] for name, level in (("a", 0.6), ("b", 0.7))}
    study = Study(corpus="drawn", variants=["a", "b"], seeds=[1], reference="a")
    text = page(board(Plan(name="s", study=study, params=corpus_params()), one))
    assert "**One seed was trained**" in text and "One seed gives one order." in text
    two = {
        name: [each[0], replace(one[other][0], seed=2)] for (name, each), other in zip(one.items(), "ba", strict=True)
    }
    assert ranks_of(two)["kendall_w"] == 0.0
    assert best_single(one) == "b"


def test_the_unit_is_the_speaker_where_folds_are_of_speakers_and_the_dialogue_of_a_fixed_test_part() -> None:
    run = trained(1, shares(0.5, 0.0, 0.0, 0.0, 0.0, 0.0), ["audio"], 0.5)
    assert unit_of(replace(run, metrics={**run.metrics, "cluster": "speaker"})) == "speaker"
    assert unit_of(replace(run, metrics={**run.metrics, "folds": {"test": None}})) == "dialogue"
