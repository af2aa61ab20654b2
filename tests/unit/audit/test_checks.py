"""A right file gives no fault; a file that is wrong in one way gives that fault, by its name."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from foalnet.audit import faults
from tests.support.audits import CLASSES, Row, checked, faulty, rows, text_of, verdicts


@pytest.mark.parametrize("against", [True, False])
def test_a_right_file_has_no_fault_and_its_known_scores(tmp_path: Path, against: bool) -> None:
    facts = checked(tmp_path, rows(), against=against)
    assert set(verdicts(facts).values()) == {"ok"}
    assert (facts["scores"]["ua"], facts["scores"]["wa"], facts["scores"]["utterances"]) == (0.75, 0.75, 160)
    assert {name: row["recall"] for name, row in facts["scores"]["classes"].items()} == dict.fromkeys(CLASSES, 0.75)


def shifted(of: list[Row]) -> None:
    for row in of:
        row["probabilities"] = row["probabilities"][1:] + row["probabilities"][:1]
        del row["predicted"]


def other_labels(of: list[Row]) -> None:
    for row in of[:3]:
        row["label"] = "happy" if row["label"] != "happy" else "sad"


def logits(of: list[Row]) -> None:
    for row in of:
        row["probabilities"] = [2 + 3 * math.log(value) for value in row["probabilities"]]


def constant(of: list[Row]) -> None:
    for row in of:
        row |= {"predicted": "sad", "probabilities": [0.1, 0.1, 0.7, 0.1]}


def copied(of: list[Row]) -> None:
    for row in of:
        row["probabilities"] = [0.123456 if value < 0.5 else 1 - 3 * 0.123456 for value in row["probabilities"]]


WRONG: dict[str, Callable[[list[Row]], None]] = {
    "class order": shifted,
    "doubled": lambda of: of.extend(copy.deepcopy(of[:3])),
    "missing": lambda of: of.__delitem__(slice(0, 5)),
    "unknown": lambda of: of.append(of[0] | {"key": "Ses01F_impro01_F999"}),
    "labels": other_labels,
    "speakers": lambda of: of[0].update(fold="Session2"),
    "constant": constant,
    "repeated": copied,
    "probabilities": lambda of: of[0].update(probabilities=[0.5, 0.5, 0.5, 0.5], predicted="happy", label="happy"),
    "predicted": lambda of: of[0].update(predicted="angry"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_file_has_the_fault_of_its_name_alone(tmp_path: Path, name: str) -> None:
    wrong = rows()
    WRONG[name](wrong)
    facts = checked(tmp_path, wrong, classes=CLASSES)
    assert faulty(facts) == {name}
    assert faults({"files": [facts]}) == {"mine.jsonl": [name]}


def test_a_wrong_order_names_the_right_one_and_both_accuracies(tmp_path: Path) -> None:
    wrong = rows()
    shifted(wrong)
    text = text_of(checked(tmp_path, wrong, classes=CLASSES), "class order")
    assert "by the labels it is neutral, sad, angry, happy" in text
    # All right rows are moved by one class; the 40 wrong ones, predicted as the next class, come right.
    assert "accuracy 75.0 % instead of 25.0 %" in text


def test_a_wrong_order_in_one_fold_is_seen(tmp_path: Path) -> None:
    wrong = rows()
    for row in wrong:
        del row["predicted"]
        if row["fold"] == "Session3":
            row["probabilities"] = row["probabilities"][2:] + row["probabilities"][:2]
    facts = checked(tmp_path, wrong, classes=CLASSES)
    assert faulty(facts) == {"class order"} and "in fold Session3" in text_of(facts, "class order")


def test_logits_are_recognised_and_score_as_their_probabilities(tmp_path: Path) -> None:
    wrong = rows()
    logits(wrong)
    facts = checked(tmp_path, wrong)
    assert faulty(facts) == set() and "softmax was applied" in text_of(facts, "probabilities")
    assert facts["calibration"]["ece"] != checked(tmp_path, rows())["calibration"]["ece"]
    # softmax(2 + 3 log p) is p^3, normalised.
    top = 0.7**3 / (0.7**3 + 3 * 0.1**3)
    facts = checked(tmp_path, [row | {"probabilities": [2 + 3 * math.log(0.7 if name == row["label"] else 0.1)
                                                        for name in CLASSES], "predicted": row["label"]}
                               for row in rows()])  # fmt: skip
    assert facts["calibration"]["nll"] == pytest.approx(-math.log(top), abs=1e-6)


def test_a_number_that_is_not_finite_is_named_and_left_out(tmp_path: Path) -> None:
    wrong = rows()
    wrong[7]["probabilities"] = [0.1, None, 0.1, 0.1]
    facts = checked(tmp_path, wrong)
    row = next(row for row in facts["checks"] if row["name"] == "probabilities")
    assert (row["verdict"], row["keys"], row["count"]) == ("fault", [wrong[7]["key"]], 1)
    assert facts["calibration"]["rows"] == 159 and facts["scores"]["utterances"] == 160


def test_labels_in_another_order_of_numbers_name_that_order(tmp_path: Path) -> None:
    theirs = ("angry", "happy", "neutral", "sad")
    numbered = []
    for row in rows():
        own = {name: row["probabilities"][CLASSES.index(name)] for name in theirs}
        numbered.append({"key": row["key"], "label": theirs.index(row["label"]), "probs": list(own.values())})
    right = checked(tmp_path, numbered)
    assert faulty(right) == set() and right["classes"] == list(theirs), "numbers are compared with the manifest"
    wrong = checked(tmp_path, numbered, classes=CLASSES)
    assert faulty(wrong) == {"labels", "class order"}
    assert "the order angry, happy, neutral, sad explains them" in text_of(wrong, "labels")


def test_shuffled_labels_are_a_warning_without_a_manifest_and_a_fault_against_one(tmp_path: Path) -> None:
    wrong = rows()
    labels = [row["label"] for row in wrong]
    random.Random(1).shuffle(labels)
    for row, label in zip(wrong, labels, strict=True):
        row["label"] = label
    assert verdicts(checked(tmp_path, wrong, against=False))["shuffled"] == "warning"
    assert faulty(checked(tmp_path, wrong)) == {"labels"}


def test_a_copied_seed_is_a_fault_and_other_seeds_are_not(tmp_path: Path) -> None:
    assert verdicts(checked(tmp_path, rows(1) + rows(2)))["seeds"] == "ok"
    assert "seeds" in faulty(checked(tmp_path, rows(1) + [row | {"seed": 2} for row in rows(1)]))


def test_what_one_seed_lacks_is_missing_with_and_without_a_manifest(tmp_path: Path) -> None:
    for against in (True, False):
        facts = checked(tmp_path, rows(1) + rows(2)[4:], against=against)
        assert faulty(facts) == {"missing"} and "of seed 2: 4 of 160" in text_of(facts, "missing")


def test_a_missing_session_is_said(tmp_path: Path) -> None:
    facts = checked(tmp_path, [row for row in rows() if row["fold"] != "Session5"])
    assert "32 of 160" in text_of(facts, "missing") and "whole sessions: Session5" in text_of(facts, "missing")
