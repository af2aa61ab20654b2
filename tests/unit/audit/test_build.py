"""The rows that are scored: the last epoch, the first of doubled rows, the test part."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.core.errors import DataError, UsageError
from tests.support.audits import Row, checked, faulty, rows, text_of, verdicts


def epochs() -> list[Row]:
    """Return rows of epochs 0, 1 and 2; in Session1 and Session2 epoch 1 is all right, else as `rows`."""
    made = []
    for epoch in range(3):
        for row in rows():
            if epoch == 1 and row["fold"] in ("Session1", "Session2"):
                row["predicted"] = row["label"]
            del row["probabilities"]
            made.append(row | {"epoch": epoch})
    return made


def test_the_last_epoch_is_scored_and_the_optimism_of_the_best_is_said(tmp_path: Path) -> None:
    facts = checked(tmp_path, epochs())
    assert faulty(facts) == set() and verdicts(facts)["selection"] == "warning"
    assert facts["scores"]["ua"] == 0.75
    # Two of five sessions gain a quarter: 2 / 5 * 25 points.
    assert "+10.0 points of UA more than the last" in text_of(facts, "selection")
    assert "Session1 epoch 1 of 3" in text_of(facts, "selection")


def test_a_chosen_epoch_is_scored_and_its_gain_is_said(tmp_path: Path) -> None:
    facts = checked(tmp_path, epochs(), epoch=1)
    assert facts["scores"]["ua"] == 0.85 and verdicts(facts)["selection"] == "warning"
    assert "epoch 1 has +10.0" in text_of(facts, "selection")
    for wrong, of in ((7, epochs()), (1, rows())):
        with pytest.raises(UsageError):
            checked(tmp_path, of, epoch=wrong)


def test_one_epoch_for_each_fold_selects_nothing_here(tmp_path: Path) -> None:
    facts = checked(tmp_path, [row | {"epoch": int(row["fold"][-1])} for row in rows()])
    assert verdicts(facts)["selection"] == "ok"


def test_the_first_of_doubled_rows_is_scored(tmp_path: Path) -> None:
    second = [row | {"predicted": row["label"]} for row in rows()]
    for row in second:
        del row["probabilities"]
    first = [{name: value for name, value in row.items() if name != "probabilities"} for row in rows()]
    facts = checked(tmp_path, first + second)
    assert faulty(facts) == {"doubled"} and facts["scores"]["ua"] == 0.75
    assert "right in one row and wrong in another: 40 utterances" in text_of(facts, "doubled")


def test_rows_of_the_training_part_are_not_scored_and_their_speakers_are_compared(tmp_path: Path) -> None:
    parts = [{"key": row["key"], "label": row["label"], "pred": row["label"], "split": "train"} for row in rows()]
    for row in parts:
        if row["key"].startswith("Ses05"):
            row["split"] = "test"
    facts = checked(tmp_path, parts, against=False)
    assert facts["scores"]["utterances"] == 32 and verdicts(facts)["speakers"] == "ok"
    parts[0]["split"] = "test"
    facts = checked(tmp_path, parts, against=False)
    assert faulty(facts) == {"speakers"} and "1 speaker, Ses01F" in text_of(facts, "speakers")


def test_without_a_row_to_score_the_error_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row's key is in manifest.jsonl"):
        checked(tmp_path, [row | {"key": f"x{at}"} for at, row in enumerate(rows())])
