"""The page's section on sides: the count, each disagreement, dialogues without audit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from foalnet.clips.sides import SideDecision, StagedSides, sides_account
from foalnet.config.blocks import Shards
from foalnet.core.ledger import Ledger
from foalnet.core.records import Side, Utterance
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.staging import staging
from foalnet.evidence.report.view import Note, Paragraph, Table
from foalnet.faces.audit import Audit
from tests.support.corpus.results import make_params, make_staging
from tests.support.corpus.rows import make_utterances


def utterance(key: str, side: Side) -> Utterance:
    dialogue, _, suffix = key.rpartition("_")
    return Utterance(
        key=key, corpus="t", session="1", dialogue=dialogue, speaker=suffix[0], side=side, start_s=0.0, end_s=1.0,
        raw_label="neu", label=None,
    )  # fmt: skip


def verdict(name: str, *, agrees: bool, confidence: float, followed: bool = False) -> StagedSides:
    sign = 1 if agrees else -1
    audit = Audit(agrees=agrees, confidence=confidence, evidence={f"{name}_F000": sign * 3.0, f"{name}_M000": -1.0})
    pair = [utterance(f"{name}_F000", "left"), utterance(f"{name}_M000", "right")]
    return StagedSides(dialogue=name, utterances=pair, decision=SideDecision(audit=audit, followed=followed))


def whole(name: str) -> StagedSides:
    return StagedSides(dialogue=name, utterances=[utterance(f"{name}_F000", "whole")], decision=SideDecision())


def silent(name: str) -> StagedSides:
    return StagedSides(dialogue=name, utterances=[utterance(f"{name}_F000", "left")], decision=SideDecision())


def blocks(sides: dict[str, Any]) -> tuple[str, list[Table], list[str]]:
    params = make_params()
    account = make_staging(params, make_utterances(params)) | {"sides": sides}
    section = staging(cast(Facts, SimpleNamespace(staging=account)))
    assert section is not None
    text = " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
    tables = [block for block in section.blocks if isinstance(block, Table) and "audit" in block.caption]
    return text, tables, [block.text for block in section.blocks if isinstance(block, Note)]


def test_t57_disagreements_are_listed_and_the_sure_ones_are_a_note() -> None:
    verdicts = [
        verdict("d1", agrees=True, confidence=0.9999),
        verdict("d2", agrees=False, confidence=0.9995),
        verdict("d3", agrees=False, confidence=0.71),
        silent("d4"),
    ]
    account, lines = sides_account(verdicts, Shards(), moved=())
    assert Ledger(lines).counts() == {"kept/side_doubted": 1} and lines[0].item == "d2"
    text, tables, notes = blocks(account)
    assert "agrees with the sides staged in 1 of 3 dialogues" in text and "is sure (confidence over 0.999) in 2" in text
    assert "Not audited: 1 dialogue (no sound with motion to judge by)." in text
    assert [[cell.text for cell in row] for row in tables[0].rows] == [
        ["d2", "F", "M", "rule", "disagrees", "0.9995"],
        ["d3", "F", "M", "rule", "disagrees", "0.7100"],
    ]
    assert any("In 1 dialogue the faces staged are probably the listener's." in note for note in notes)


def test_a_followed_audit_and_a_table_are_shown_with_the_staged_sides() -> None:
    verdicts = [
        verdict("d1", agrees=False, confidence=0.9995, followed=True),
        verdict("d2", agrees=True, confidence=0.9999),
    ]
    account, lines = sides_account(verdicts, Shards(sides="table"), moved=["d2"])
    assert Ledger(lines).counts() == {"repaired/side_by_audit": 1, "repaired/side_by_table": 1}
    # Against the side it was put on: the utterance that alone spoke for the rule.
    assert account["dialogues"][0]["audit"]["against"] == []
    assert account["dialogues"][1]["audit"]["against"] == ["d2_M000"]
    _, tables, _ = blocks(account)
    assert [[cell.text for cell in row][:5] for row in tables[0].rows] == [
        ["d1", "M", "F", "audit", "agrees"],
        ["d2", "F", "M", "table", "agrees"],
    ]


def test_one_person_in_the_picture_is_left_out_and_said() -> None:
    account, lines = sides_account([whole("d1"), whole("d2")], Shards(sides="audit"), moved=())
    assert lines == [] and account["not_audited"] == {"one_person": 2}
    text, tables, _ = blocks(account)
    assert "Who sits where was not audited: 2 dialogues (one person fills the picture)." in text and tables == []


def test_the_page_lists_some_and_counts_the_rest() -> None:
    account, _ = sides_account(
        [verdict(f"d{i:02d}", agrees=False, confidence=0.6) for i in range(25)], Shards(), moved=()
    )
    text, tables, notes = blocks(account)
    assert len(tables[0].rows) == 20 and "5 more are in staging.json." in text
    assert not any("listener" in note for note in notes)
