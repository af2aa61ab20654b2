"""The rule of the drawn corpus: best scores computed by hand; neither modality alone shows the interaction."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.config.draw import Draw
from foalnet.core.errors import UsageError
from foalnet.drawn import __main__ as printed
from foalnet.drawn import rule


def draw_with(both: float, sound: float, face: float, interaction: float) -> Draw:
    return Draw(share_both=both, share_sound=sound, share_face=face, share_interaction=interaction)


def test_best_scores_as_committed_by_hand() -> None:
    # sound: both and sound kinds are certain (.36 + .24), a quarter of the other .40 by chance; and so on.
    assert rule.best_scores(Draw()) == {
        "sound": pytest.approx(0.36 + 0.24 + 0.25 * 0.40),
        "picture": pytest.approx(0.36 + 0.12 + 0.25 * 0.52),
        "both": pytest.approx(0.36 + 0.24 + 0.12 + 0.50 * 0.28),
        "late_average": pytest.approx(0.36 + 0.24 + 0.12 + 0.25 * 0.28),
        "chance": 0.25,
    }


@pytest.mark.parametrize(
    ("params", "sound", "picture", "both", "late"),
    [
        (draw_with(1, 0, 0, 0), 1.0, 1.0, 1.0, 1.0),
        (draw_with(0, 1, 0, 0), 1.0, 0.25, 1.0, 1.0),
        (draw_with(0, 0, 1, 0), 0.25, 1.0, 1.0, 1.0),
        (draw_with(0, 0, 0, 1), 0.25, 0.25, 0.5, 0.25),
        (draw_with(0, 0.5, 0, 0.5), 0.625, 0.25, 0.75, 0.625),
    ],
)
def test_best_scores_of_pure_cases(params: Draw, sound: float, picture: float, both: float, late: float) -> None:
    scores = rule.best_scores(params)
    assert [scores[name] for name in ("sound", "picture", "both", "late_average")] == [sound, picture, both, late]


def test_best_of_the_own_tasks_by_hand() -> None:
    # A sound of the class finds a face of it (.36 + .24), the others one by chance; a face likewise.
    # Of plain cues every foreign pair differs; mixed cues alone match as often by chance as by the rule.
    assert rule.own_task_best(rule.joint(Draw())) == {
        "sound_to_picture": pytest.approx(0.36 + 0.24 + 0.25 * 0.40),
        "picture_to_sound": pytest.approx(0.36 + 0.12 + 0.25 * 0.52),
        "matching": pytest.approx(0.86),
    }
    plain = rule.own_task_best(rule.joint(draw_with(1, 0, 0, 0)))
    assert plain == {"sound_to_picture": 1.0, "picture_to_sound": 1.0, "matching": 1.0}
    sound = rule.own_task_best(rule.joint(draw_with(0, 1, 0, 0)))
    assert sound == {"sound_to_picture": 0.25, "picture_to_sound": 0.25, "matching": 0.5}


def test_scores_as_committed_are_apart_and_between_060_and_090() -> None:
    scores = rule.best_scores(Draw())
    seen = sorted(scores[name] for name in ("sound", "picture", "both"))
    assert seen[0] >= 0.60 and seen[-1] <= 0.90
    assert all(b - a >= 0.08 - 1e-9 for a, b in pairwise(seen))


@pytest.mark.parametrize("view", ["sound", "face"])
def test_one_modality_says_nothing_about_the_interaction_kind(view: str) -> None:
    by_cue: dict[str, list[str]] = defaultdict(list)
    for cell in rule.cells("interaction"):
        by_cue[getattr(cell, view)].append(cell.label)
    assert len(by_cue) == 2
    assert all(sorted(labels) == sorted(rule.CLASSES) for labels in by_cue.values())


def test_both_modalities_say_the_pair_and_never_which_of_it() -> None:
    by_cues: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in rule.cells("interaction"):
        by_cues[cell.sound, cell.face].add(cell.label)
    assert len(by_cues) == 4
    assert all(labels in [set(pair) for pair in rule.PAIRS] for labels in by_cues.values())
    assert by_cues["hum", "pout"] == by_cues["quaver", "wince"] != by_cues["hum", "wince"] == by_cues["quaver", "pout"]


def test_cues_of_the_interaction_belong_to_no_other_kind() -> None:
    for kind in ("both", "sound", "face"):
        for cell in rule.cells(kind):
            assert cell.sound in {cell.label, rule.BLANK} and cell.face in {cell.label, rule.BLANK}
            assert (cell.sound, cell.face) != (rule.BLANK, rule.BLANK)


@given(st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any))
def test_every_mixture_keeps_the_order_of_what_is_seen(parts: list[int]) -> None:
    both, sound, face, interaction = (part / sum(parts) for part in parts)
    params = draw_with(both, sound, face, interaction)
    assert sum(rule.joint(params).values()) == pytest.approx(1.0)
    scores = rule.best_scores(params)
    assert scores["sound"] == pytest.approx(both + sound + 0.25 * (face + interaction))
    assert scores["picture"] == pytest.approx(both + face + 0.25 * (sound + interaction))
    assert scores["both"] == pytest.approx(1 - 0.5 * interaction)
    assert max(scores["sound"], scores["picture"]) <= scores["late_average"] + 1e-6 <= scores["both"] + 2e-6


def test_the_command_prints_what_the_page_says(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    assert printed.main() == 0
    page = (repository / "docs" / "drawn.md").read_text("utf-8")
    assert "$ python -m foalnet.drawn\n" + capsys.readouterr().out + "```" in page


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed.main() == UsageError.exit_code
    assert "params.yaml" in capsys.readouterr().err
