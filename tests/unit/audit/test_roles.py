"""Columns by their usual names, by option, and columns of one class each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from foalnet.audit.read import Columns
from foalnet.audit.roles import roles_of, wanted_of
from foalnet.core.errors import UsageError

KNOWN = {"sad", "happy"}


def columns(*names: str) -> Columns:
    return Columns(file=Path("a.csv"), form="csv", sha256="", rows=1, cells={name: ["0.5"] for name in names})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Utt-ID", "y_true", "y_pred"), {"key": "Utt-ID", "label": "y_true", "predicted": "y_pred"}),
        (("filename", "gold", "Prediction"), {"key": "filename", "label": "gold", "predicted": "Prediction"}),
        (("", "label", "pred", "split"), {"key": "", "label": "label", "predicted": "pred", "part": "split"}),
        (("name", "key", "emotion", "label"), {"key": "key", "label": "label"}),
    ],
)
def test_usual_names_are_known(names: Sequence[str], expected: dict[str, str]) -> None:
    assert roles_of(columns(*names), {}, KNOWN).column == expected


@pytest.mark.parametrize(
    "names",
    [
        ("prob_sad", "prob_happy"),
        ("P(sad)", "P(happy)"),
        ("sad_logit", "happy_logit"),
        ("Sad", "Happy"),
        ("probabilities_sad", "probabilities_happy"),
        ("score sad", "score happy", "score angry"),
    ],
)
def test_columns_of_classes_are_seen_by_their_names(names: Sequence[str]) -> None:
    roles = roles_of(columns("path", "label", "page_count", *names), {}, KNOWN)
    assert roles.probabilities == tuple(names) and not roles.numbered


@pytest.mark.parametrize("names", [("p0", "p1"), ("prob_1", "prob_2"), ("logit_0", "logit_1", "logit_2"), ("0", "1")])
def test_numbered_columns_are_put_in_order(names: Sequence[str]) -> None:
    roles = roles_of(columns("key", "label", *reversed(names)), {}, KNOWN)
    assert roles.probabilities == tuple(names) and roles.numbered


def test_numbers_with_a_gap_and_one_number_a_row_are_no_probabilities() -> None:
    assert roles_of(columns("key", "label", "p0", "p2"), {}, KNOWN).probabilities == ()
    assert roles_of(columns("key", "label", "prob"), {}, KNOWN).probabilities == ()


def test_an_option_goes_before_usual_names() -> None:
    roles = roles_of(columns("key", "id", "label", "a", "b"), wanted_of(["key=id", "probabilities=a,b"]), KNOWN)
    assert roles.column["key"] == "id" and roles.probabilities == ("a", "b")
    for option in ("ky=id", "key", "=x"):
        with pytest.raises(UsageError):
            wanted_of([option])
    with pytest.raises(UsageError, match="no column `x`"):
        roles_of(columns("key"), {"key": "x"}, KNOWN)
