"""Errors are readable and can be pickled; the ledger keeps every entry and accepts only known reasons."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.core.ledger import DROPPED, KEPT, REASONS, REPAIRED, Ledger


def test_exit_codes() -> None:
    assert [e.exit_code for e in (UsageError, DataError, MachineError, Interrupted)] == [2, 3, 4, 5]


def test_message_names_stage_file_utterance_and_next_action() -> None:
    error = DataError("the shard is short", file="a.tar", utterance="u1", stage="train", action="restage it")
    assert str(error).splitlines() == [
        "the shard is short", "  stage: train", "  file: a.tar", "  utterance: u1", "  next: restage it",
    ]  # fmt: skip
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_ledger_counts_sorts_and_refuses_unknown_reasons() -> None:
    ledger = Ledger()
    ledger.keep("u2")
    ledger.drop("u1", "wav_missing")
    ledger.repair("u0", "wav_from_dialogue", "cut")
    assert ledger.counts() == {"dropped/wav_missing": 1, "kept": 1, "repaired/wav_from_dialogue": 1}
    assert [row["item"] for row in ledger.rows()] == ["u0", "u1"]
    with pytest.raises(ValueError, match="bad_luck"):
        ledger.drop("u3", "bad_luck")


GROUPS = {"drop": DROPPED, "repair": REPAIRED, "keep": KEPT}


def test_reasons_are_sorted_and_explained() -> None:
    assert all(list(group) == sorted(group) for group in GROUPS.values())
    assert all(REASONS.values()) and len(REASONS) == sum(map(len, GROUPS.values()))


def test_a_reason_is_in_the_group_of_the_method_that_records_it(repository: Path) -> None:
    call = re.compile(r"ledger\.(drop|repair|keep)\((?:(?!getattr)[^\n])*?, \"([a-z_]+)\"")
    calls = [
        (file, *match)
        for file in sorted((repository / "foalnet").rglob("*.py"))
        for match in call.findall(file.read_text("utf-8"))
    ]
    assert len(calls) > 20
    assert [each for each in calls if each[2] not in GROUPS[each[1]]] == []
