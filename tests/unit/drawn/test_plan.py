"""The plan of the drawn corpus: exact shares, IEMOCAP's names, only sound and picture reveal the class."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, kruskal

from foalnet.config.draw import Draw
from foalnet.drawn.deal import session_cells
from foalnet.drawn.plan import ACTORS, OWN_PAUSE_S, RATE_HZ, Dialogue, Turn, plan
from foalnet.drawn.rule import CLASSES, KINDS, frequencies, scores_of, shares

DIALOGUE = re.compile(r"Ses0[1-5][FM]_(impro|script)\d\d(_\d)?[a-z]?")
TINY = Draw(dialogues_per_session=1, used_per_dialogue=8, unused_per_dialogue=0)


@pytest.fixture(scope="module")
def corpus() -> list[Dialogue]:
    return plan(Draw())


@pytest.fixture(scope="module")
def used(corpus: list[Dialogue]) -> list[tuple[Dialogue, int, Turn]]:
    return [(d, i, turn) for d in corpus for i, turn in enumerate(d.turns) if turn.used]


def test_size_and_structure(corpus: list[Dialogue]) -> None:
    assert len(corpus) == 30 and sum(len(d.turns) for d in corpus) == 480
    assert Counter(d.session for d in corpus) == dict.fromkeys(range(1, 6), 6)
    assert Counter((d.session, d.marker) for d in corpus) == {(s, a): 3 for s in range(1, 6) for a in ACTORS}
    assert {re.sub(r"\d.*", "", d.name[7:]) for d in corpus} == {"impro", "script"}
    assert sum(d.frames for d in corpus) / 29.97 / 60 == pytest.approx(16, abs=2)


def test_names_follow_the_grammar_and_are_unique(corpus: list[Dialogue]) -> None:
    for dialogue in corpus:
        assert DIALOGUE.fullmatch(dialogue.name)
        assert dialogue.name[4] == str(dialogue.session) and dialogue.name[5] == dialogue.marker
        for turn in dialogue.turns:
            assert re.fullmatch(rf"{dialogue.name}_[FM]\d\d\d", turn.key) and turn.key[-4] == turn.speaker
            assert turn.side == ("left" if turn.speaker == dialogue.marker else "right")
    keys = [turn.key for dialogue in corpus for turn in dialogue.turns]
    assert len(set(keys)) == len(keys) and len({d.name for d in corpus}) == len(corpus)


@pytest.mark.parametrize("session", range(1, 6))
def test_realised_shares_are_the_nearest_whole_numbers_in_every_session(
    used: list[tuple[Dialogue, int, Turn]], session: int
) -> None:
    cells = [turn.cell for d, _, turn in used if d.session == session and turn.cell]
    assert Counter(cell.label for cell in cells) == dict.fromkeys(CLASSES, 21)
    kinds = Counter(cell.kind for cell in cells)
    for kind, share in shares(Draw()).items():
        assert abs(kinds[kind] - share * 84) < 1
    mixed = Counter((cell.sound, cell.face, cell.label) for cell in cells if cell.kind == "interaction")
    assert len(mixed) == 8 and set(mixed.values()) == {3}


def test_scores_as_drawn_are_within_half_a_point_of_the_rule(used: list[tuple[Dialogue, int, Turn]]) -> None:
    drawn = scores_of(frequencies(turn.cell for _, _, turn in used if turn.cell))
    expected = {"sound": 0.70, "picture": 0.61, "both": 0.86, "late_average": 0.79, "chance": 0.25}
    assert drawn == {name: pytest.approx(score, abs=0.005) for name, score in expected.items()}


FACTS = {
    "speaker": lambda d, i, t: (d.session, t.speaker),
    "side": lambda d, i, t: t.side,
    "marker": lambda d, i, t: d.marker,
    "scripted": lambda d, i, t: "script" in d.name,
    "third of the dialogue": lambda d, i, t: i * 3 // len(d.turns),
    "length": lambda d, i, t: int((t.end_s - t.start_s - 1.2) / 0.2001),
    "own number": lambda d, i, t: int(t.key[-3:]),
    "looks away": lambda d, i, t: any(a <= t.frames[1] and t.frames[0] <= b for a, b in d.away[t.speaker]),
    "speaker before": lambda d, i, t: d.turns[i - 1].speaker == t.speaker if i else None,
    "label before": lambda d, i, t: d.turns[i - 1].raw_label if i else None,
}


@pytest.mark.parametrize("fact", FACTS)
def test_no_property_of_an_utterance_reveals_its_class(used: list[tuple[Dialogue, int, Turn]], fact: str) -> None:
    rows = [(FACTS[fact](d, i, turn), turn.cell.label) for d, i, turn in used if turn.cell]
    values = sorted({str(value) for value, _ in rows})
    table = np.zeros((len(values), len(CLASSES)))
    for value, label in rows:
        table[values.index(str(value)), CLASSES.index(label)] += 1
    assert chi2_contingency(table[table.sum(1) > 4]).pvalue > 0.02, table


@pytest.mark.parametrize("of", ["label", "kind"])
def test_length_does_not_reveal_class_or_kind(used: list[tuple[Dialogue, int, Turn]], of: str) -> None:
    names = CLASSES if of == "label" else KINDS
    groups = [[t.end_s - t.start_s for _, _, t in used if getattr(t.cell, of) == name] for name in names]
    assert kruskal(*groups).pvalue > 0.05


def test_a_classifier_on_all_facts_together_is_at_chance(used: list[tuple[Dialogue, int, Turn]]) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

    x = np.array(
        [[t.speaker == "F", t.side == "left", d.marker == "F", i, t.end_s - t.start_s, t.start_s] for d, i, t in used]
    )
    y = np.array([t.cell.label for _, _, t in used if t.cell])
    session = [d.session for d, _, _ in used]
    model = RandomForestClassifier(100, random_state=0, n_jobs=1)
    # Chance is .25; its deviation at 420 utterances is .021.
    assert np.mean(cross_val_predict(model, x, y, groups=session, cv=LeaveOneGroupOut()) == y) < 0.25 + 0.05


def test_turns_mostly_follow_and_seldom_overlap(corpus: list[Dialogue]) -> None:
    pairs = [(a, b) for d in corpus for a, b in pairwise(d.turns)]
    overlapping = [(a, b) for a, b in pairs if b.start_s < a.end_s]
    assert 5 <= len(overlapping) <= 40
    assert all(a.speaker != b.speaker and a.end_s - b.start_s <= 0.41 for a, b in overlapping)
    for dialogue in corpus:
        for actor in ACTORS:
            own = [turn for turn in dialogue.turns if turn.speaker == actor]
            assert all(b.start_s - a.end_s >= OWN_PAUSE_S - 1e-3 for a, b in pairwise(own))
        assert dialogue.turns[-1].frames[1] < dialogue.frames
        assert dialogue.samples == round(dialogue.frames * 1001 / 30000 * RATE_HZ)


def test_one_utterance_a_session_shows_no_face_and_no_used_one_loses_more_than_half(corpus: list[Dialogue]) -> None:
    hidden = Counter()
    for dialogue in corpus:
        for turn in dialogue.turns:
            first, last = turn.frames
            gone = {f for a, b in dialogue.away[turn.speaker] for f in range(max(a, first), min(b, last) + 1)}
            share = len(gone) / (last - first + 1)
            hidden[dialogue.session] += share == 1.0
            assert share < 0.55 or not turn.used
    assert hidden == dict.fromkeys(range(1, 6), 1)


def test_seed_decides_and_nothing_else() -> None:
    assert plan(TINY) == plan(TINY)
    assert plan(TINY) != plan(TINY.model_copy(update={"seed": 2}))


def test_tiny_corpus_has_forty_utterances_with_all_kinds_and_classes() -> None:
    cells = [turn.cell for dialogue in plan(TINY) for turn in dialogue.turns]
    assert len(cells) == 40 and None not in cells
    assert Counter(cell.label for cell in cells if cell) == dict.fromkeys(CLASSES, 10)
    assert Counter(cell.kind for cell in cells if cell) == {"both": 15, "sound": 10, "face": 5, "interaction": 10}
    assert {d.marker for d in plan(TINY)} == set(ACTORS)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_any_structure_is_dealt_whole(dialogues: int, used_each: int, unused: int, seed: int) -> None:
    params = Draw(dialogues_per_session=dialogues, used_per_dialogue=used_each, unused_per_dialogue=unused, seed=seed)
    planned = plan(params)
    turns = [turn for dialogue in planned for turn in dialogue.turns]
    assert sum(turn.used for turn in turns) == 5 * dialogues * used_each
    assert len(turns) == 5 * dialogues * (used_each + unused) == len({turn.key for turn in turns})
    for turn in turns:
        assert (turn.cell is not None) == turn.used and turn.sound and turn.face and turn.raw_label
        if turn.cell:
            assert (turn.cell.sound, turn.cell.face) == (turn.sound, turn.face)


@given(st.integers(1, 200), st.integers(1, 5))
def test_dealt_kinds_and_classes_are_never_one_off(count: int, session: int) -> None:
    cells = session_cells(Draw(), count, session)
    labels, kinds = Counter(c.label for c in cells), Counter(c.kind for c in cells)
    assert len(cells) == count
    assert max(labels.values()) - min(labels[name] for name in CLASSES) <= 1
    assert all(abs(kinds[kind] - share * count) < 1 for kind, share in shares(Draw()).items())
