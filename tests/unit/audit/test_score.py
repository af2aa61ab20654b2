"""Scores, both intervals, calibration and the paired difference, against figures worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foalnet.audit import audit, of_file
from foalnet.evidence.crossed import by_unit, crossed
from foalnet.evidence.stats import interval
from tests.support.audits import Row, checked, manifest, rows, write


def right(of: list[Row], how_many: int) -> list[Row]:
    """Return rows without probabilities of which the first wrong ones are made right."""
    made = [{name: value for name, value in row.items() if name != "probabilities"} for row in of]
    wrong = [row for row in made if row["label"] != row["predicted"]]
    for row in wrong[:how_many]:
        row["predicted"] = row["label"]
    return made


def pair(folder: Path, a: list[Row], b: list[Row]) -> Any:
    files = [write(folder / "a.jsonl", a), write(folder / "b.jsonl", b)]
    return audit(files, reference=of_file(manifest(folder)))["paired"]


def test_intervals_are_those_of_the_report_over_dialogues_and_of_a_study_over_sessions(tmp_path: Path) -> None:
    of = right(rows(), 10)
    facts = checked(tmp_path, of)
    values = [float(row["label"] == row["predicted"]) for row in of]
    labels, sessions = [row["label"] for row in of], [row["fold"] for row in of]
    dialogues = [row["key"][:14] for row in of]
    inside = interval(values, dialogues, labels, metric="ua", level=0.95, resamples=2000, seed=7)
    shown = facts["intervals"]["recordings"]
    assert (shown["over"], shown["groups"]) == ("dialogue", 10)
    assert [shown["ua"]["low"], shown["ua"]["high"]] == pytest.approx([inside.low, inside.high], abs=1e-6)
    both = crossed(by_unit([values], sessions, labels, "ua"), 0.95)
    people = facts["intervals"]["people"]
    assert (people["over"], people["units"], people["seeds"]) == ("session", 5, 1)
    assert [people["ua"]["low"], people["ua"]["high"]] == pytest.approx([both.low, min(1, both.high)], abs=1e-6)


def test_scores_are_means_over_seeds(tmp_path: Path) -> None:
    of = right(rows(1), 40) + right(rows(2), 0)
    facts = checked(tmp_path, of)
    # Seed 1 is all right, seed 2 to three quarters; their standard deviation is 0.25 / sqrt(2).
    assert facts["scores"]["ua"] == 0.875 and facts["scores"]["seed_sd"] == pytest.approx(0.176777)
    assert facts["scores"]["classes"]["sad"] == {"labels": 80, "predicted": 80, "recall": 0.875, "f1": 0.875}
    assert facts["intervals"]["people"]["seeds"] == 2


def test_without_people_or_dialogues_utterances_are_the_groups(tmp_path: Path) -> None:
    facts = checked(tmp_path, [row | {"key": f"u{at}"} for at, row in enumerate(rows())], against=False)
    assert facts["intervals"]["recordings"]["over"] == "utterance" and "unknown" in facts["intervals"]["why"]
    facts = checked(
        tmp_path, [row | {"key": f"u{at}", "speaker": at % 8} for at, row in enumerate(rows())], against=False
    )
    assert facts["intervals"]["recordings"]["over"] == facts["intervals"]["people"]["over"] == "speaker"


def test_a_paired_difference_counts_what_only_one_has_right(tmp_path: Path) -> None:
    facts = pair(tmp_path, right(rows(), 20), right(rows(), 0))
    assert facts["mcnemar"] == [{"a": "", "b": "", "both": 120, "only_a": 20, "only_b": 0, "neither": 20}]
    assert facts["recordings"]["wa"]["estimate"] == 0.125 == facts["people"]["wa"]["estimate"]
    assert not facts["identical"] and (facts["utterances"], facts["only_a"], facts["only_b"]) == (160, 0, 0)


def test_only_common_utterances_are_paired_and_copies_are_said(tmp_path: Path) -> None:
    facts = pair(tmp_path, right(rows(), 0), right(rows(), 0)[10:])
    assert (facts["utterances"], facts["only_a"]) == (150, 10) and not facts["identical"]
    assert pair(tmp_path, right(rows(), 0), right(rows(), 0))["identical"]
    none = pair(tmp_path, right(rows(), 0)[:80], right(rows(), 0)[80:])
    assert none["utterances"] == 0 and "recordings" not in none


def test_equal_seeds_are_paired_and_others_averaged(tmp_path: Path) -> None:
    facts = pair(tmp_path, right(rows(1), 8) + right(rows(2), 8), right(rows(1), 0) + right(rows(2), 0))
    assert facts["seeds_paired"] and facts["people"]["seeds"] == 2 and len(facts["mcnemar"]) == 2
    facts = pair(tmp_path, right(rows(1), 8), right(rows(2), 0) + right(rows(3), 0))
    assert not facts["seeds_paired"] and facts["people"]["wa"]["estimate"] == 0.05


def test_a_corpus_of_single_speakers_without_dialogues_is_over_speakers_both_times(tmp_path: Path) -> None:
    of = [
        row | {"key": f"u{at}", "speaker": at % 8, "dialogue": at % 8, "fold": at % 8} for at, row in enumerate(rows())
    ]
    facts = checked(tmp_path, [row | {"session": row["fold"]} for row in of], against=False)["intervals"]
    assert (facts["recordings"]["over"], facts["people"]["over"], facts["people"]["units"]) == ("speaker", "speaker", 8)
