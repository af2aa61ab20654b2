"""A corpus with a given structure: every row is drawn as given, in any order of the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foalnet.config.draw import Draw
from foalnet.core.errors import DataError
from foalnet.corpora.iemocap import names as iemocap_names
from foalnet.drawn import structure
from foalnet.drawn.rule import RAW_LABELS
from foalnet.drawn.structure import CLASS_OF, Row, plan_structure, read_structure, shortest
from foalnet.drawn.write import draw
from tests.support.corpus.trees import write

HEAD = "utterance\tlabel\tstart_s\tend_s\n"
LABELS = ("ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sad", "sur", "xxx")
NAMES = ("Ses01F_impro01", "Ses01M_script01_1b", "Ses04F_impro02")

rows_of_a_table = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from("FM"),
        st.integers(0, 30),
        st.sampled_from(LABELS),
        st.floats(0, 60),
        st.floats(0.4, 20),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda row: row[:3],
).map(
    lambda rows: [
        Row(
            key=f"{name}_{letter}{number:03d}", raw_label=label, start_s=round(start, 4), end_s=round(start + length, 4)
        )
        for name, letter, number, label, start, length in rows
    ]
)


@settings(deadline=None, max_examples=40)
@given(rows_of_a_table, st.randoms(use_true_random=False))
def test_every_row_is_planned_as_it_stands_whatever_the_order(rows: list[Row], random: object) -> None:
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    dialogues = plan_structure(Draw(), rows)
    assert dialogues == plan_structure(Draw(), mixed)
    turns = {turn.key: turn for dialogue in dialogues for turn in dialogue.turns}
    assert {(t.key, t.raw_label, t.start_s, t.end_s) for t in turns.values()} == {
        (r.key, r.raw_label, r.start_s, r.end_s) for r in rows
    }
    for dialogue in dialogues:
        assert dialogue.marker == dialogue.name[5] and dialogue.name[4] == str(dialogue.session)
        assert all(turn.end_s <= dialogue.frames * 1001 / 30000 for turn in dialogue.turns)
    for turn in turns.values():
        assert (turn.cell.label if turn.cell else None) == CLASS_OF.get(turn.raw_label)
        assert turn.side == ("left" if turn.key[-4] == turn.key[5] else "right")


@given(st.from_regex(structure._KEY, fullmatch=True) | st.from_regex(iemocap_names.UTTERANCE, fullmatch=True))
def test_names_follow_the_readers_grammar(key: str) -> None:
    named, match = iemocap_names.parse_name(key), structure._KEY.fullmatch(key)
    assert named is not None and match is not None, key
    assert (named.dialogue, named.letter) == (match["dialogue"], match["letter"])


def test_the_kinds_of_the_rule_keep_their_shares() -> None:
    raws = [raw for names in RAW_LABELS.values() for raw in names]
    rows = [
        Row(key=f"Ses01F_impro{d:02d}_F{i:03d}", raw_label=raws[i % len(raws)], start_s=2.0 * i, end_s=2.0 * i + 1)
        for d in range(1, 21)
        for i in range(50)
    ]
    turns = [turn for dialogue in plan_structure(Draw(), rows) for turn in dialogue.turns]
    share = sum(turn.cell is not None and turn.cell.kind == "interaction" for turn in turns) / len(turns)
    assert share == pytest.approx(Draw().share_interaction, abs=0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("utterance,label\n", "line 1: the columns"),
        (HEAD, "no utterance"),
        (HEAD + "Ses01F_impro01_F000\tneu\tone\t2\n", "line 2: could not convert"),
        (HEAD + "Ses01F_impro01_F000\tneu\t1\n", "line 2: list index"),
        (HEAD + "Ses01F_impro01_F000\tneu\t1\t2\n" * 2, "line 3: 'Ses01F_impro01_F000' occurs twice"),
        (HEAD + "../x_F000\tneu\t1\t2\n", "is not a name"),
        (HEAD + "Ses01F_impro01_F000\tbored\t1\t2\n", "'bored'"),
        (HEAD + "Ses01F_impro01_F000\tneu\t2\t1\n", "from 2.0 s to 1.0 s"),
        (HEAD + "Ses01F_impro01_F000\tneu\t2\tnan\n", "cannot be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "table.tsv", text)
    with pytest.raises(DataError) as error:
        read_structure(path)
    assert said in str(error.value) and "table.tsv" in str(error.value)


def test_media_are_drawn_for_the_shortest_dialogues_only_and_text_for_all(tmp_path: Path) -> None:
    rows = [
        ("Ses01F_impro01_F000", "neu", 0.5, 1.5),
        ("Ses01F_impro01_M000", "sur", 1.2, 2.0),
        ("Ses01F_impro02_F000", "oth", 0.5, 4.5),
        ("Ses02M_impro01_M000", "xxx", 0.5, 1.1),
    ]
    table = write(tmp_path / "table.tsv", HEAD + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    assert shortest(plan_structure(Draw(), read_structure(table)), 1) == {"Ses01F_impro01", "Ses02M_impro01"}
    out = tmp_path / "corpus"
    draw(Draw(), out, structure=table, media=1)
    real = [p for p in out.rglob("*") if not p.name.startswith("._")]
    assert sorted(p.stem for p in real if p.suffix == ".avi") == ["Ses01F_impro01", "Ses02M_impro01"]
    labels = sorted(p.stem for p in real if p.suffix == ".txt" and p.parent.name == "EmoEvaluation")
    assert labels == ["Ses01F_impro01", "Ses01F_impro02", "Ses02M_impro01"]
    assert len([p for p in real if p.suffix == ".wav" and p.parent.parent.name == "wav"]) == 3
