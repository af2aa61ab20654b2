"""Markdown of reports shows every name as it is: no HTML, no links, no cell more than its table has columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from foalnet.authors.imported import _card_md
from foalnet.config import load_params
from foalnet.core.markdown import code, escape, table
from foalnet.core.records import Utterance
from foalnet.evidence.gate import markdown as decision_md
from foalnet.stages.final.card import card_facts, card_md

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "a|b",
    "[x](http://x)",
    "*s*",
    "`c`",
    "&lt;",
    "~~z~~",
    "# h",
    "\\|",
    "a\n\n- b",
)
# A control character is not for Markdown to show.
TEXT = st.text(st.characters(exclude_categories=("C",)))
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = {"html_inline", "html_block", "link_open", "image", "em_open", "s_open", "code_inline"}


def flat(text: str) -> str:
    return " ".join(text.split())


def inline(text: str) -> list[Token]:
    """Every inline token of a text, and the HTML blocks."""
    tokens = READER.parse(text)
    return [t for t in tokens if t.type in MARKUP] + [part for t in tokens for part in t.children or ()]


def shown(tokens: list[Token]) -> str:
    return "".join(t.content for t in tokens if t.type in ("text", "text_special", "code_inline"))


def cells(text: str) -> list[list[str]]:
    """The rows of the tables of a text, each cell as it is shown."""
    rows: list[list[str]] = []
    for token in READER.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level > 3:
            rows[-1].append(shown(token.children or []))
    return rows


def no_markup(text: str) -> None:
    assert not [t for t in inline(text) if t.type in MARKUP], text


@given(TEXT)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    no_markup(f"x {escape(text)} y")
    [row] = cells("\n".join(table(("a", "b"), [(text, 1)])))[1:]
    assert [flat(cell) for cell in row] == [flat(text), "1"]


@given(TEXT)
def test_code_is_shown_as_it_is(text: str) -> None:
    if flat(text):
        [token] = [t for t in inline(f"x {code(text)} y") if t.type == "code_inline"]
        assert flat(token.content) == flat(text)


def _card(names: tuple[str, ...]) -> dict[str, Any]:
    params = load_params("drawn")
    params = params.model_copy(
        update={"manifest": params.manifest.model_copy(update={"classes": {name: [name] for name in names}})}
    )
    said = [
        Utterance(
            key=f"k{i}", corpus="c", session="s", dialogue="d", speaker="p", side="whole", start_s=0.0, end_s=1.0,
            raw_label=name, label=name,
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    scores = {"ua": 0.5, "wa": 0.5, "macro_f1": 0.5, "weighted_f1": 0.5, "recall": dict.fromkeys(names, 0.5)}
    metrics = {"protocol": "<b>p</b>", "select": "x|y", "pooled": {"n": 9} | scores, "over_folds": {}}
    machine = {"device": "cpu", "threads": 1, "processor": "a|b", "instructions": "i"}
    given = {
        "chosen": {"<i>f</i>": 1},
        "epochs": 1,
        "seconds": 9.0,
        "ranges": {"loudness_dbfs": [1, 2], "duration_s": [1, 2]},
    }
    return card_facts(params, said, metrics=metrics, machine=machine, licence="free", drawn=False, **given)


def test_a_card_is_the_same_text_when_it_was_read_back() -> None:
    card = _card(("a", "b"))
    assert card_md(json.loads(json.dumps(card, sort_keys=True))) == card_md(card)


def test_a_cards_classes_stand_in_their_cells_as_they_are() -> None:
    text = card_md(_card(HOSTILE))
    no_markup(text)
    rows = [row for row in cells(text) if row[0] in map(flat, HOSTILE)]
    assert [row[:2] for row in rows] == [[flat(name), flat(name)] for name in HOSTILE]
    assert {len(row) for row in cells(text)} == {3, 4}


def test_an_imported_models_card_shows_its_classes_as_they_are() -> None:
    card = _card(HOSTILE) | {"note": "n", "digests": {"checkpoint": "0"}, "sees": "<u>v</u>"}
    text = _card_md(card)
    no_markup(text)
    assert all(flat(name) in shown(inline(text)) for name in HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_gates_decision_shows_names_as_they_are(name: str) -> None:
    sides = {"utterances": 1, "staged": None, "dropped": 0, "drop_share": 0.0, "ua": {name: 0.5}}
    decision = {
        "corpus": name,
        "promote": False,
        "checks": [{"passed": False, "says": name}],
        "reasons": [name],
        "challenger": sides,
        "champion": sides | {"commit": name},
    }
    text = decision_md(decision)
    no_markup(text)
    assert [f"UA of {flat(name)}", "0.5", "0.5"] in cells(text)
    assert ["staged", "not known", "not known"] in cells(text)
