"""The contents of probe.json from predictions written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest

from foalnet.artifact.results import Results
from foalnet.config.probing import Probe
from foalnet.core.records import Prediction, Utterance
from foalnet.probe.board import People, Probed, board, raters, robustness
from foalnet.probe.networks import Answers
from foalnet.probe.page import page
from tests.support.corpus.rows import utterance
from tests.support.corpus.stores import corpus_params

PARAMS = corpus_params()
CLASSES = list(PARAMS.manifest.classes)
SESSIONS = [f"Session{n}" for n in range(1, 6)]
USED = {
    f"{session}_{i:02d}": utterance(
        f"{session}_{i:02d}", session=session, dialogue=f"{session}_d{i // 10}", speaker=f"{session}{'FM'[i % 2]}",
        label=CLASSES[i % 4], raw_label=CLASSES[i % 4][:3],
    )
    for session in SESSIONS
    for i in range(20)
}  # fmt: skip


def answered(wrong: Mapping[str, int]) -> dict[str, str]:
    """Answers that are right but for the first utterances of each session."""
    return {
        key: CLASSES[(i % 20 + 1) % 4] if i % 20 < wrong.get(u.session, 0) else str(u.label)
        for i, (key, u) in enumerate(USED.items())
    }


def run(seed: int, wrong: Mapping[str, int], now: Mapping[str, Mapping[str, int]], **reasons: str) -> Probed:
    """A run with so many wrong answers in each session, undisturbed and under disturbances."""
    rows = {
        key: asdict(
            Prediction(
                key=key, fold=u.session, session=u.session, dialogue=u.dialogue, speaker=u.speaker, label=str(u.label),
                predicted=answered(wrong)[key], probabilities=(0.4, 0.3, 0.2, 0.1),
            )
        )
        for key, u in USED.items()
    }  # fmt: skip
    ua = np.mean([row["label"] == row["predicted"] for row in rows.values()])
    metrics = {"cluster": "dialogue", "folds": dict.fromkeys(SESSIONS), "pooled": {"ua": float(ua)}}
    predicted = {name: answered(each) for name, each in now.items()}
    answers = Answers(predicted=predicted, changed=dict.fromkeys(predicted, 90), reasons=reasons)
    return Probed(seed=seed, results=Results(metrics=metrics, rows=rows), answers=answers)


STEADY = dict.fromkeys(SESSIONS, 4)
WORSE = {**STEADY, "Session1": 16, "Session2": 12, "Session3": 12, "Session4": 12}
RUNS = {
    "a": [run(seed, STEADY, {"noise": WORSE}, dark="it does not read pictures") for seed in (1, 2)],
    "b": [run(seed, STEADY, {"dark": STEADY}, noise="it does not read sound") for seed in (1, 2)],
}


def test_differences_are_paired_over_sessions_and_adjusted_for_all_rows() -> None:
    people = People.of(RUNS["a"][0].results, 0.95)
    assert people.unit == "session"
    facts = robustness(RUNS, people, ["noise", "dark"], 0.02)
    assert facts["variants"]["a"]["undisturbed"]["ua"] == 0.8 and facts["variants"]["b"]["reasons"].keys() == {"noise"}
    row = facts["differences"]["a: noise"]
    # 20 utterances a session: -60, -40, -40, -40 and 0 points.
    assert row["ua"] == -0.36
    half = 2.7764 * np.std([-0.6, -0.4, -0.4, -0.4, 0.0], ddof=1) / np.sqrt(5)
    assert (row["low"], row["high"]) == pytest.approx((-0.36 - half, -0.36 + half), abs=1e-4)
    assert row["p_holm"] == pytest.approx(2 * row["p"], abs=2e-6) and row["verdict"] == "worse"
    # Nothing changed in any session and seed: no interval, no p value, and equal.
    assert facts["differences"]["b: dark"] == {
        "ua": 0.0, "low": None, "high": None, "p": None, "p_holm": 1.0, "verdict": "equal"
    }  # fmt: skip


def test_a_page_of_all_sections() -> None:
    curve = {1: {"a": [answered({})]}}
    facts = board(PARAMS, Probe(permutations=20), RUNS, list(USED.values()), ["noise", "dark"], curve)
    text = page(facts)
    for line in (
        "| undisturbed | 80.0 | 80.0 |",
        "| noise | 44.0 | - |",
        "Not applied to b: noise: it does not read sound.",
        "a, noise: 90 of 100 utterances were changed, the others had nothing to change.",
        "| b: dark | +0.0 | - | - | 1.000 | equal |",
        # Every answer has the same confidence: the order says nothing.
        "| a | 80.0 | 80.0 | 80.0 | 80.0 | 80.0 | 0.200 |",
        "| majority of the training part | 25.0 |",
        # All five sessions are alike: 0.025 ** (1 / 5).
        "| a | 1 | 100.0 | 47.8 to 100.0 | - |",
        "| a | all | 80.0 |",
    ):
        assert line in text, line
    assert "## Raters" not in text and facts["controls"]["permuted"]["a"]["p"] == round(1 / 21, 6)


def voted(*votes: tuple[str, str]) -> Mapping[str, Utterance]:
    """The utterances, each with these votes."""
    return {key: replace(u, votes=tuple((who, (vote,)) for who, vote in votes)) for key, u in USED.items()}


def test_raters_are_those_who_judge_what_the_label_is_of() -> None:
    people = People.of(RUNS["a"][0].results, 0.95)
    both = voted(("voice-1", "sad"), ("voice-2", "sad"), ("both-1", "happy"), ("both-2", "sad"), ("both-3", "sad"))
    every = raters(PARAMS, RUNS, both, people)
    assert every is not None and every["unanimous"] == 0 and every["ceiling"]["judgements"] == 500
    cremad = PARAMS.model_copy(update={"reader": "cremad"})
    # Acted labels: who saw and heard the clip. Of the three the two for sad face a tie; the other is wrong.
    acted = raters(cremad, RUNS, both, people)
    assert acted is not None and acted["ceiling"] == {"ua": 0.0, "wa": 0.0, "utterances": 100, "judgements": 100}
    manifest = cremad.manifest.model_copy(update={"labels": "voice"})
    heard = raters(cremad.model_copy(update={"manifest": manifest}), RUNS, both, people)
    assert heard is not None and heard["unanimous"] == 100 and heard["split"] == 0 and heard["ceiling"] is None
    assert heard["variants"]["a"]["unanimous"] == 0.8 and heard["variants"]["a"]["split"] is None
    # All say sad, the third class, of probability 0.2.
    assert (
        heard["variants"]["a"]["soft"] == pytest.approx(-np.log(0.2), abs=1e-6) and heard["variants"]["a"]["least"] == 0
    )
    assert raters(PARAMS, RUNS, USED, people) is None
    outside = raters(PARAMS, RUNS, voted(("E1", "Fear"), ("E2", "Fear")), people)
    assert outside is not None and outside["outside"] == 1.0 and "soft" not in outside["variants"]["a"]
