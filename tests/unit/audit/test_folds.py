"""Speakers and sessions on both sides of a fold, and named splits by their counts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.audits import Row, checked, faulty, rows, text_of, verdicts

FOUR = {"hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad", "ang": "angry"}
SIX = {**FOUR, "exc": "excited", "fru": "frustrated"}


def iemocap(shared_data: Path, classes: Mapping[str, str]) -> list[Row]:
    """Return a row for each utterance of IEMOCAP with a class; every tenth prediction is wrong."""
    table = csv.DictReader((shared_data / "iemocap_utterances.tsv").open(), delimiter="\t")
    used = [row for row in table if row["label"] in classes]
    return [
        {
            "file": f"IEMOCAP/wav/{row['utterance']}.wav",
            "label": classes[row["label"]],
            "pred": classes[row["label"]] if at % 10 else "neutral",
            "fold": f"Session{row['utterance'][4]}",
        }
        for at, row in enumerate(used)
    ]


def test_folds_across_speakers_are_a_fault_and_across_sessions_a_warning(tmp_path: Path) -> None:
    by_speaker = [row | {"fold": row["key"][:5] + row["key"][15]} for row in rows()]
    facts = checked(tmp_path, by_speaker)
    assert faulty(facts) == set() and verdicts(facts)["sessions"] == "warning"
    at_random = [row | {"fold": str(at % 5)} for at, row in enumerate(rows())]
    facts = checked(tmp_path, at_random)
    assert faulty(facts) == {"speakers"} and "10 speakers" in text_of(facts, "speakers")


def test_an_utterance_in_two_folds_is_a_fault(tmp_path: Path) -> None:
    wrong = rows() + [row | {"fold": "Session2"} for row in rows()[:2]]
    assert {"folds", "speakers"} == faulty(checked(tmp_path, wrong))


def test_a_part_of_a_manifest_warns_of_speakers_that_may_have_trained(tmp_path: Path) -> None:
    part = [{name: row[name] for name in ("key", "label", "predicted")} for row in rows()[:28]]
    facts = checked(tmp_path, part)
    assert verdicts(facts)["speakers"] == "warning"
    assert "1 of 2 tested speakers have other utterances" in text_of(facts, "speakers")


def test_unknown_speakers_are_a_warning(tmp_path: Path) -> None:
    facts = checked(tmp_path, [row | {"key": f"u{at}"} for at, row in enumerate(rows())], against=False)
    assert verdicts(facts)["speakers"] == "warning" and facts["intervals"]["people"] is None


def test_iemocap_in_four_classes_is_the_split_of_its_name(tmp_path: Path, shared_data: Path) -> None:
    whole = iemocap(shared_data, FOUR)
    facts = checked(tmp_path, whole, against=False, name="mine.csv")
    assert text_of(facts, "split") == "utterances and folds are those of iemocap4-loso"
    assert verdicts(facts)["speakers"] == "ok" and facts["scores"]["utterances"] == 5531
    assert facts["intervals"]["people"]["units"] == 5 and facts["intervals"]["recordings"]["groups"] == 151
    facts = checked(tmp_path, whole[10:], against=False, name="mine.csv")
    assert text_of(facts, "split").startswith("nearest to iemocap4-loso, with 10 utterances")
    facts = checked(tmp_path, [row | {"fold": row["file"][-8]} for row in whole], against=False, name="mine.csv")
    assert "its 2 folds are others" in text_of(facts, "split") and "speakers" not in faulty(facts)


def test_the_named_test_part_of_iemocap_is_recognised(tmp_path: Path, shared_data: Path) -> None:
    part = [row | {"fold": "1"} for row in iemocap(shared_data, SIX) if row["fold"] == "Session5"]
    facts = checked(tmp_path, part, against=False, name="mine.csv")
    assert text_of(facts, "split") == "the utterances are those of the test part of iemocap6-erc-100-20-31"
    assert text_of(facts, "speakers") == "in the split iemocap6-erc-100-20-31 none of the tested speakers trains"


def test_meld_is_recognised_by_its_counts_and_shares_speakers(tmp_path: Path) -> None:
    counts = {"neutral": 1256, "surprise": 281, "fear": 50, "sadness": 208, "joy": 402, "disgust": 68, "anger": 345}
    labels = [name for name, count in counts.items() for _ in range(count)]
    part = [{"id": f"dia{at}_utt0", "label": name, "pred": name if at % 3 else "joy"} for at, name in enumerate(labels)]
    facts = checked(tmp_path, part, against=False, name="mine.csv")
    assert "meld-official, by its counts alone" in text_of(facts, "split")
    assert verdicts(facts)["speakers"] == "warning"


@pytest.mark.parametrize("column", ["session", "fold", "split"])
def test_folds_may_be_in_a_column_of_any_of_these_names(tmp_path: Path, column: str) -> None:
    facts = checked(tmp_path, [{column if k == "fold" else k: v for k, v in row.items()} for row in rows()])
    assert facts["folds"] == [f"Session{number}" for number in range(1, 6)]
