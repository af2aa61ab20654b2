"""The page's section on sides: the count, each disagreement, dialogues without audit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from foalnet.artifact.seal import publish_sealed
from foalnet.clips.sides import SideDecision, StagedSides, sides_account
from foalnet.config import Params
from foalnet.config.blocks import Shards
from foalnet.core.ledger import Ledger
from foalnet.core.paths import Paths
from foalnet.core.records import Side, Utterance
from foalnet.evidence.report import build
from foalnet.faces.audit import Audit
from tests.support.corpus.results import make_params, make_staging, write_report
from tests.support.corpus.rows import make_utterances
from tests.support.pages import Page

Section = Callable[[dict[str, Any]], Page]


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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Paths]:
    params = make_params(variants=["foal"])
    return params, write_report(tmp_path_factory.mktemp("sides"), params)


@pytest.fixture
def section(built: tuple[Params, Paths]) -> Section:
    """Return a function that returns the section on staging, for a staging that audited these sides."""

    def make(sides: dict[str, Any]) -> Page:
        params, paths = built
        publish_sealed(paths.staging, make_staging(params, make_utterances(params)) | {"sides": sides})
        build(params, paths)
        [text] = re.findall(r'(?s)<div id="staging">.*?</details>', paths.report_html.read_text())
        return Page(text)

    return make


def doubts(page: Page) -> list[list[str]]:
    """The rows of the table of doubtful dialogues."""
    return next((table[1:] for table in page.tables if table[0][0] == "Dialogue"), [])


def test_t57_disagreements_are_listed_and_the_sure_ones_are_a_note(section: Section) -> None:
    verdicts = [
        verdict("d1", agrees=True, confidence=0.9999),
        verdict("d2", agrees=False, confidence=0.9995),
        verdict("d3", agrees=False, confidence=0.71),
        silent("d4"),
    ]
    account, lines = sides_account(verdicts, Shards(), moved=())
    assert Ledger(lines).counts() == {"kept/side_doubted": 1} and lines[0].item == "d2"
    page = section(account)
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "agrees with the sides staged in 1 of 3 dialogues" in text and "is sure (confidence over 0.999) in 2" in text
    assert "Not audited: 1 dialogue (no sound with motion to judge by)." in text
    assert doubts(page) == [
        ["d2", "F", "M", "rule", "disagrees", "0.9995"],
        ["d3", "F", "M", "rule", "disagrees", "0.7100"],
    ]
    assert "In 1 dialogue the faces staged are probably the listener's." in text


def test_a_followed_audit_and_a_table_are_shown_with_the_staged_sides(
    section: Callable[[dict[str, Any]], Page],
) -> None:
    verdicts = [
        verdict("d1", agrees=False, confidence=0.9995, followed=True),
        verdict("d2", agrees=True, confidence=0.9999),
    ]
    account, lines = sides_account(verdicts, Shards(sides="table"), moved=["d2"])
    assert Ledger(lines).counts() == {"repaired/side_by_audit": 1, "repaired/side_by_table": 1}
    # Against the side it was put on: the utterance that alone spoke for the rule.
    assert account["dialogues"][0]["audit"]["against"] == []
    assert account["dialogues"][1]["audit"]["against"] == ["d2_M000"]
    assert [row[:5] for row in doubts(section(account))] == [
        ["d1", "M", "F", "audit", "agrees"],
        ["d2", "F", "M", "table", "agrees"],
    ]


def test_one_person_in_the_picture_is_left_out_and_said(section: Section) -> None:
    account, lines = sides_account([whole("d1"), whole("d2")], Shards(sides="audit"), moved=())
    assert lines == [] and account["not_audited"] == {"one_person": 2}
    page = section(account)
    assert "Who sits where was not audited: 2 dialogues (one person fills the picture)." in page.text
    assert doubts(page) == []


def test_the_page_lists_some_and_counts_the_rest(section: Section) -> None:
    account, _ = sides_account(
        [verdict(f"d{i:02d}", agrees=False, confidence=0.6) for i in range(25)], Shards(), moved=()
    )
    page = section(account)
    assert len(doubts(page)) == 20 and "5 more are in staging.json." in page.text
    assert "listener" not in page.text
