"""The order of the classes: who says it, and class numbers and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.audit import of_file
from foalnet.core.errors import DataError, UsageError
from tests.support.audits import CLASSES, RAW, Row, checked, faulty, flat, manifest, rows, verdicts


def test_the_order_is_that_of_the_predictions_where_no_name_says_it(tmp_path: Path) -> None:
    facts = checked(tmp_path, rows(), against=False)
    assert (tuple(facts["classes"]), facts["order_by"]) == (CLASSES, "the column of predictions")


def test_without_anything_the_order_is_alphabetical_and_said(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in ("key", "label", "probabilities")} for row in rows()]
    facts = checked(tmp_path, bare, against=False)
    assert facts["order_by"] == "assumed: alphabetical" and faulty(facts) == {"class order"}
    assert faulty(checked(tmp_path, bare, against=False, classes=CLASSES)) == set()


def test_columns_are_put_into_the_order_of_the_classes_by_name(tmp_path: Path) -> None:
    turned: list[Row] = [dict(reversed(flat(row).items())) for row in rows()]
    facts = checked(tmp_path, turned, classes=CLASSES, name="mine.csv")
    assert tuple(facts["classes"]) == CLASSES and faulty(facts) == set()


@pytest.mark.parametrize("first", [0, 1])
def test_class_numbers_start_at_0_or_1(tmp_path: Path, first: int) -> None:
    numbered = [
        {"key": row["key"], "label": CLASSES.index(row["label"]) + first, "probs": row["probabilities"]}
        for row in rows()
    ]
    for more in ({"classes": CLASSES}, {"classes": CLASSES, "against": False}, {"against": False}):
        facts = checked(tmp_path, numbered, **more)  # type: ignore[arg-type]
        assert faulty(facts) == set() and facts["scores"]["ua"] == 0.75


def test_raw_labels_are_classes_by_the_manifest(tmp_path: Path) -> None:
    raw = [row | {"label": RAW[row["label"]].upper(), "predicted": RAW[row["predicted"]]} for row in rows()]
    facts = checked(tmp_path, raw)
    assert faulty(facts) == set() and sorted(facts["classes"]) == sorted(CLASSES)
    with pytest.raises(UsageError, match="two classes have one name"):
        checked(tmp_path, raw, classes=["exc", "happy", "sad", "ang"])
    with pytest.raises(UsageError, match=r"no class of manifest.jsonl: bored"):
        checked(tmp_path, raw, classes=["bored", "neu", "sad", "ang"])


def test_a_class_that_does_not_exist_is_a_fault_and_two_kinds_are_a_warning(tmp_path: Path) -> None:
    of = [{name: row[name] for name in ("key", "label", "predicted")} for row in rows()]
    of[0]["label"], of[1]["label"] = 10**9, "1"
    facts = checked(tmp_path, of, against=False, classes=CLASSES)
    assert faulty(facts) == {"labels"} and facts["scores"]["utterances"] == 159
    assert "two kinds" in " ".join(row["text"] for row in facts["checks"] if row["verdict"] == "warning")


def test_a_column_of_many_values_is_no_column_of_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2,000 different values"):
        checked(tmp_path, [{"key": str(at), "label": at / 7, "pred": at / 7} for at in range(2000)], against=False)


def test_names_in_other_alphabets_and_other_forms_of_a_letter_are_names(tmp_path: Path) -> None:
    of = [{"key": f"k{at}", "label": name, "p_fro\u0308hlich": 1 - at % 2, "p_悲しい": at % 2}
          for at, name in enumerate(["fröhlich", "悲しい"] * 20)]  # fmt: skip
    facts = checked(tmp_path, of, against=False, name="mine.csv")
    assert facts["classes"] == ["fröhlich", "悲しい"] and facts["scores"]["ua"] == 1.0


def test_a_manifest_without_its_digest_is_read_and_an_altered_one_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    assert of_file(path).classes == ("angry", "happy", "neutral", "sad")
    (tmp_path / "manifest.sha256").write_text(f"{'0' * 64}  manifest.jsonl\n")
    with pytest.raises(DataError):
        of_file(path)
    (tmp_path / "manifest.sha256").unlink()
    assert len(of_file(path).used) == 160
    with pytest.raises(UsageError):
        of_file(tmp_path / "absent.jsonl")


def test_one_class_of_labels_is_a_warning(tmp_path: Path) -> None:
    facts = checked(tmp_path, [row for row in rows() if row["label"] == "sad"], against=False, classes=CLASSES)
    assert verdicts(facts)["labels"] == "warning"


def test_predictions_may_be_numbers_where_labels_are_names(tmp_path: Path) -> None:
    order = sorted(CLASSES)
    of = [{"key": row["key"], "label": row["label"], "pred": order.index(row["predicted"])} for row in rows()]
    facts = checked(tmp_path, of, against=False)
    assert facts["classes"] == order and facts["scores"]["ua"] == 0.75 and faulty(facts) == set()
    of = [{"key": row["key"], "label": row["label"], "pred": CLASSES.index(row["predicted"])} for row in rows()]
    assert faulty(checked(tmp_path, of, against=False)) == {"class order"}


def test_numbers_of_predictions_alone_are_in_alphabetical_order_against_a_manifest(tmp_path: Path) -> None:
    of = [{"key": row["key"], "pred": sorted(CLASSES).index(row["predicted"])} for row in rows()]
    facts = checked(tmp_path, of)
    assert facts["order_by"] == "assumed: alphabetical" and facts["scores"]["ua"] == 0.75
