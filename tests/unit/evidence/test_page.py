"""The page from Markdown: groups, small text and shades of tables; values stay text; accounts are validated once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.core.errors import DataError
from foalnet.evidence.report import build
from foalnet.evidence.report.markdown import to_html
from foalnet.evidence.report.page import SOFT, _escaped
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances
from tests.support.pages import Page
from tests.support.sealing import reseal


def test_a_table_has_its_title_its_caption_and_heads_of_rows() -> None:
    html = to_html(
        "### T\n\nWhat it shows.\n\n| a | b |\n|---|---:|\n| x *(says)* | <!--0.500-->**7** *(1–9)* |\n\nAfter."
    )
    page = Page(html)
    assert page.faults == [] and page.tables == [[["a", "b"], ["x says", "7 1–9"]]]
    assert '<div class="table">\n<h3>T</h3>\n<p class="caption">What it shows.</p>\n<div class="scroll"' in html
    assert '<table aria-label="T">' in html and '<th scope="row" class="label">x<small>says</small></th>' in html
    assert '<td style="--share: 0.500" class="number shaded"><strong>7</strong><small>1–9</small></td>' in html
    assert "<p>After.</p>" in html


@pytest.mark.parametrize("value", ["- x", "+ x", "1. x", "2) x", "# x", "> x", "| x |", "<b>", "```", "*x*", "a_b_"])
def test_a_value_that_starts_a_line_is_text(value: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(str(_escaped(value)))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(child.content for child in tokens[1].children or ()) == value


def test_a_sentence_of_several_lines_is_one_line_and_blocks_stay_apart() -> None:
    text = "A sentence\nof two lines.\n\n- one\nmore\n- two\n\n> **Note.** a\nb\n\n| a |\n|---|"
    assert SOFT.sub(" ", text) == "A sentence of two lines.\n\n- one more\n- two\n\n> **Note.** a b\n\n| a |\n|---|"


def lose(part: str, name: str) -> Any:
    def change(facts: dict[str, Any]) -> dict[str, Any]:
        return facts | {part: {key: value for key, value in facts[part].items() if key != name}}

    return change


@pytest.mark.parametrize(("part", "name"), [("pooled", "wa"), ("pooled", "confusion")])
def test_a_run_of_an_older_version_is_named_with_what_it_lacks(tmp_path: Path, part: str, name: str) -> None:
    params = make_params(variants=["foal"])
    paths = write_report(tmp_path, params)
    file = paths.run("foal", 1) / "metrics.json"
    reseal(file, lose(part, name))
    with pytest.raises(DataError, match=rf"cannot be used: {part}\..*{name}") as caught:
        build(params, paths)
    assert caught.value.file == str(file) and "evaluate@drawn-foal-s1" in str(caught.value.action)


def test_an_account_of_another_shape_is_named(tmp_path: Path) -> None:
    params = make_params(variants=["foal"])
    paths = write_report(tmp_path, params)
    publish_sealed(paths.staging, read_sealed(paths.staging, again="shards@drawn") | {"sound": {"rate_hz": 16000}})
    with pytest.raises(DataError, match=r"cannot be used: sound\.seconds") as caught:
        build(params, paths)
    assert caught.value.file == str(paths.staging)


def test_the_answers_are_open_and_short_and_the_details_folded(tmp_path: Path) -> None:
    params = make_params()
    page = write_report(tmp_path, params, make_utterances(params)).report_html.read_text()
    page = re.sub(r"(?s)<(style|svg).*?</\1>", "", page)
    page = re.sub(r'(?s)<details class="fold">.*?</details>', "", page)  # inside the others
    folded = re.findall(r"(?s)<details>.*?</details>", page)
    assert len(folded) >= 8 and all(re.search(r"<summary><h2>[^<]+</h2></summary>", each) for each in folded)
    assert all(f'<a href="#{name}">' in page for name in re.findall(r'<div id="(\w+)">', page))
    shown = re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<details>.*?</details>", "", page))
    assert 300 < len(shown.split()) < 1500
