"""The table of sides: valid lines, and errors with file, line and dialogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.clips.sides import assign_sides, read_sides
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, UsageError
from tests.support.corpus.rows import utterance

MANIFEST = [
    utterance("Ses01F_impro01_F000"),
    utterance("Ses01F_impro01_M000"),
    utterance("Ses01M_impro02_F000"),
    utterance("Actor_01_F000", side="whole"),
]


def written(folder: Path, text: str) -> Path:
    path = folder / "sides.txt"
    path.write_text(text)
    return path


def test_a_table_moves_both_speakers_of_the_dialogues_that_it_names(tmp_path: Path) -> None:
    table = written(tmp_path, "# remark\n\nSes01F_impro01\tSes01M  left\nSes01M_impro02 Ses01F right\n")
    sides = assign_sides(MANIFEST, Shards(sides="table"), str(table))
    assert [u.side for u in sides.utterances] == ["right", "left", "right", "whole"]
    # The second line says what the rule says: nothing moves.
    assert sides.moved == {"Ses01F_impro01"}


@pytest.mark.parametrize("sides", ["rule", "audit"])
def test_the_table_is_opened_only_when_it_is_needed(sides: str) -> None:
    params = Shards.model_validate({"sides": sides})
    assert assign_sides(MANIFEST, params, "nowhere").utterances == MANIFEST


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            "Ses01F_impro1\tSes01F\tleft",
            "line 2, dialogue Ses01F_impro1: the corpus has no such dialogue; did",
        ),
        ("Ses01F_impro01 Ses02F left", "line 2, dialogue Ses01F_impro01: no speaker 'Ses02F' in it"),
        ("Ses01F_impro01 Ses01F up", "line 2, dialogue Ses01F_impro01: the side 'up' is neither left nor right"),
        ("Ses01F_impro01 Ses01F", "line 2, dialogue Ses01F_impro01: 2 columns; expected dialogue, speaker, side"),
        (
            "Ses01F_impro01 Ses01F left\nSes01F_impro01 Ses01M left",
            "line 3, dialogue Ses01F_impro01: an earlier line already names it",
        ),
        ("Actor_01 Ses01F left", "line 2, dialogue Actor_01: one person fills its picture"),
    ],
)
def test_a_faulty_line_is_refused_by_file_line_and_dialogue(tmp_path: Path, lines: str, says: str) -> None:
    table = written(tmp_path, f"# remark\n{lines}\n")
    with pytest.raises(DataError) as caught:
        read_sides(table, MANIFEST)
    assert says in caught.value.what and caught.value.file == str(table)


def test_lines_of_faces_and_of_sides_share_a_table(tmp_path: Path) -> None:
    table = written(tmp_path, "Ses01F_impro01 Ses01M left\nActor_01_F000  face 412 180.5\n")
    both = assign_sides(MANIFEST, Shards(sides="table", face="table"), str(table))
    assert both.points == {"Actor_01_F000": (412.0, 180.5)} and both.moved == {"Ses01F_impro01"}
    sides = assign_sides(MANIFEST, Shards(sides="table"), str(table))
    assert (sides.points, sides.moved) == ({}, both.moved)
    faces = assign_sides(MANIFEST, Shards(face="table"), str(table))
    assert (faces.points, faces.utterances) == (both.points, MANIFEST)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Actor_01_F00 face 1 2", "utterance Actor_01_F00: the corpus has no such utterance; did you mean"),
        ("Actor_01_F000 face 1", "utterance Actor_01_F000: '1' is no point: write x and y in pixels"),
        ("Actor_01_F000 face 1 2 3", "is no point"),
        ("Actor_01_F000 face x 2", "is no point"),
        ("Actor_01_F000 face nan 2", "is no point"),
        ("Actor_01_F000 face -1 2", "is no point"),
        ("Actor_01_F000 face 1 2\nActor_01_F000 face 3 4", "line 2, utterance Actor_01_F000: an earlier line"),
    ],
)
def test_a_faulty_line_of_a_face_is_refused_by_file_line_and_utterance(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_sides(written(tmp_path, line), MANIFEST)
    assert says in caught.value.what and "docs/faces.md" in (caught.value.action or "")


def test_a_table_that_is_not_named_missing_or_not_text_is_an_error(tmp_path: Path) -> None:
    for params in (Shards(sides="table"), Shards(face="table")):
        with pytest.raises(UsageError, match="names no sides_table"):
            assign_sides(MANIFEST, params, "")
    with pytest.raises(DataError, match="cannot be read"):
        assign_sides(MANIFEST, Shards(sides="table"), str(tmp_path / "absent.txt"))
    (tmp_path / "sides.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 at byte 0"):
        read_sides(tmp_path / "sides.txt", MANIFEST)
