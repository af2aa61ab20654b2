"""The timeline: well-formed, offline, readable without colour, and every text is text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from foalnet.predict import timeline
from tests.support.pages import Page

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert(\"&amp;')</script>\x00\udce9"


def row(start_s: float, **change: Any) -> dict[str, Any]:
    return {
        "clip": "a.mp4", "side": "whole", "start_s": start_s, "end_s": start_s + 4.0, "label": "sad",
        "probabilities": {"happy": 0.25, "sad": 0.75}, "notes": ["a note"],
        "frames": {"total": 10, "detected": 2, "bridged": 3, "missing": 5, "seen": 5},
        "face": {"x": 0.5, "y": 0.25, "height": 0.5}, **change,
    }  # fmt: skip


def lost(start_s: float) -> dict[str, Any]:
    error = {"exit_code": 3, "what": "nothing is there", "file": None, "next": "give more"}
    return {"clip": "a.mp4", "side": "whole", "start_s": start_s, "end_s": start_s + 4.0, "error": error}


def written(path: Path, *rows: dict[str, Any]) -> str:
    with timeline.writing(path) as passing:
        assert list(passing(iter([(each, 0) for each in rows]))) == [(each, 0) for each in rows]
    return path.read_text()


def svg_of(text: str) -> ET.Element:
    (chart,) = [each for each in ET.fromstring(text).iter(f"{SVG}svg") if each.get("role") == "img"]
    return chart


def test_the_page_is_well_formed_and_fetches_nothing(tmp_path: Path) -> None:
    text = written(tmp_path / "t.html", row(0.0), row(2.0, side="left"), {"clip": "b.mp4", "error": lost(0)["error"]})
    tree, page = ET.fromstring(text), Page(text)
    assert page.addresses == [] and page.handlers == []
    assert not {"script", "img", "link", "iframe"} & set(page.elements) and "url(" not in text
    policy = next(each.get("content") for each in tree.iter("meta") if each.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "nothing is there Next: give more." in page.text and "Person: left" in page.text
    assert written(tmp_path / "again.html", row(0.0)) == written(tmp_path / "t.html", row(0.0))


def test_every_text_is_escaped(tmp_path: Path) -> None:
    odd = row(0.0, clip=EVIL, label=EVIL, probabilities={EVIL: 1.0}, notes=[EVIL])
    broken = lost(4.0) | {"clip": EVIL, "error": {"what": EVIL, "next": EVIL}}
    text = written(tmp_path / "t.html", odd, broken, {"clip": EVIL, "error": {"what": EVIL, "next": EVIL}})
    ET.fromstring(text)
    assert "<script" not in text and "\x00" not in text
    assert text.count("&lt;script&gt;") >= 6


def test_the_bands_of_a_window_are_as_high_as_its_probabilities(tmp_path: Path) -> None:
    chart = svg_of(written(tmp_path / "t.html", row(0.0), row(2.0), row(4.0)))
    bands = {each.findtext(f"{SVG}title"): each for each in chart.iter(f"{SVG}rect")}
    happy, sad = bands["0 s to 4 s: happy 0.25"], bands["0 s to 4 s: sad 0.75"]
    assert (happy.get("height"), sad.get("height")) == ("24.0", "72.0")
    assert float(sad.get("y", 0)) == float(happy.get("y", 0)) + 24
    # Windows around 2, 4 and 6 s of 8 s, in 594 units: the first is shown to 3 s, the second to 5 s.
    widths = [float(bands[f"{name} s: sad 0.75"].get("width", 0)) for name in ("0 s to 4", "2 s to 6", "4 s to 8")]
    assert widths == pytest.approx([3 / 8 * 594, 2 / 8 * 594, 3 / 8 * 594], abs=0.1)


def test_the_likeliest_class_has_its_name_and_equal_neighbours_are_one(tmp_path: Path) -> None:
    text = written(tmp_path / "t.html", row(0.0), row(2.0), row(4.0, label="happy"), lost(6.0))
    chart = svg_of(text)
    titles = [each.text for each in chart.iter(f"{SVG}title")]
    assert {"0 s to 6 s: sad", "4 s to 8 s: happy", "6 s to 10 s: no prediction"} <= set(titles)
    labels = [each.text for each in chart.iter(f"{SVG}text")]
    assert labels.count("sad") == 1 and labels.count("happy") == 1


def test_a_gap_is_marked_and_breaks_the_lines_of_the_face(tmp_path: Path) -> None:
    chart = svg_of(written(tmp_path / "t.html", row(0.0), lost(2.0), row(4.0)))
    assert len(list(chart.iter(f"{SVG}polyline"))) == 2 * len(timeline.LINES)
    assert [each.text for each in chart.iter(f"{SVG}text")].count("×") == 4
    titles = [each.text for each in chart.iter(f"{SVG}title")]
    assert "0 s to 4 s: 50 % of 10 frames have a face" in titles
    assert "2 s to 6 s: no prediction: nothing is there" in titles
    assert "face, middle, 0 bottom to 1 top: 0.75" in titles


def test_notes_are_listed_once_with_their_number(tmp_path: Path) -> None:
    page = Page(written(tmp_path / "t.html", row(0.0), row(2.0), row(4.0, notes=[])))
    assert "a note (2 of 3 windows)" in page.text
    many = Page(timeline.notes([row(0.0, notes=[f"note {n}" for n in range(timeline.NOTES + 3)])]))
    assert many.elements.count("li") == timeline.NOTES + 1 and "3 further notes" in many.text


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "colour", [*timeline.COLOURS, timeline.INK, timeline.QUIET, *(line[2] for line in timeline.LINES)]
)
def test_colours_stand_out_from_white(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_on_a_phone_the_chart_scrolls_and_the_page_does_not(tmp_path: Path) -> None:
    text = written(tmp_path / "t.html", *(row(2.0 * n) for n in range(60)))
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", text)
    (scroll,) = [each for each in ET.fromstring(text).iter("div") if each.get("class") == "scroll"]
    assert scroll.find(f"{SVG}svg") is not None and scroll.get("tabindex") == "0"
    fixed = [float(each) for each in re.findall(r"(?<!max-)width: ([0-9.]+)(?:px|rem)", timeline.STYLE)]
    assert all(each < 390 for each in fixed)


def test_a_page_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), timeline.writing(tmp_path / "t.html"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
