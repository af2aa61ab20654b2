"""The picture of how a method decided."""

from __future__ import annotations

from xml.etree import ElementTree

from foalnet.study.plot import explained_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_a_cell_for_each_class_and_utterance_and_text_is_escaped() -> None:
    facts = {
        "columns": ["audio", "<video>"],
        "classes": {"a": [0.25, 0.75], "b": [0.5, 0.5]},
        "utterances": [{"key": "k&1", "label": "a", "predicted": "b", "values": [1.0, 0.0]}],
    }
    root = ElementTree.fromstring(explained_svg("gmu", {"gates": facts}))
    cells = [each for each in root.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    assert len(cells) == 6
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert "k&1: a, taken for b" in texts and "<video>" in texts and "0.75" in texts
    # The largest value is the darkest cell, the smallest is white.
    assert [each.get("fill") for each in cells[-2:]] == ["#1f5fbf", "#ffffff"]


def test_many_columns_have_no_numbers_and_few_names() -> None:
    facts = {"columns": [str(n) for n in range(32)], "classes": {"a": [0.0] * 32}, "utterances": []}
    root = ElementTree.fromstring(explained_svg("m", {"by_audio": facts}))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert "0.00" not in texts and [text for text in texts if text and text.isdigit()] == [
        str(n) for n in range(0, 32, 2)
    ]


def test_names_have_room() -> None:
    facts = {
        "columns": ["audio from video", "joint from audio"],
        "classes": {"a": [0.25, 0.75]},
        "utterances": [
            {"key": "Ses01F_script02_1_M044", "label": "frustrated", "predicted": "neutral", "values": [1, 0]}
        ],
    }
    root = ElementTree.fromstring(explained_svg("jmt", {"tokens": facts}))
    first = min(float(each.get("x", "0")) for each in root.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None)
    # 7 pixels a letter are more than a system font of 12 pixels has.
    assert first >= 7 * len("Ses01F_script02_1_M044: frustrated, taken for neutral")
    cells = [each for each in root.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    assert all(float(each.get("width", "0")) >= 7 * len("audio from video") for each in cells)
    width = float(root.get("width", "0"))
    assert all(float(each.get("x", "0")) + float(each.get("width", "0")) <= width for each in cells)
