"""Of several faces in a picture the crop shows the right one: the right person, not only some face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foalnet.config.blocks import Shards
from tests.support.talkers import BLUE, FRAMES, GREEN, RED, SECONDS, Face, colours, cut, sound, write_faces

SPEAKER = Face(colour=RED, x=70, side=44, voice=1)
LISTENER = Face(colour=BLUE, x=270, side=80)
LARGEST, BY_SOUND, TABLE = Shards(), Shards(face="speaker"), Shards(face="table")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(LISTENER, id="rests"),
        pytest.param(Face(colour=BLUE, x=270, side=80, sways_px=14), id="sways"),
        pytest.param(Face(colour=BLUE, x=270, side=80, voice=2), id="moves its mouth at other times"),
        pytest.param(Face(colour=BLUE, x=270, side=44), id="is as large"),
        pytest.param(Face(colour=BLUE, x=270, side=80, stop=40), id="leaves"),
    ],
)
def test_the_crop_is_the_face_with_the_mouth_that_moves_with_the_sound(tmp_path: Path, other: Face) -> None:
    path = write_faces(tmp_path / "a.avi", [SPEAKER, other])
    pictures = cut(path, [SPEAKER, other], sound(1))
    assert set(colours(pictures)) == {RED}
    assert (pictures.choice.by, pictures.choice.faces) == ("speaker", 2)
    assert pictures.choice.confidence is not None and pictures.choice.confidence > BY_SOUND.face_confidence


def test_of_three_faces_the_smallest_is_cut_where_it_speaks(tmp_path: Path) -> None:
    faces = [Face(colour=GREEN, x=60, side=70), Face(colour=RED, x=180, side=40, voice=4), LISTENER]
    pictures = cut(write_faces(tmp_path / "a.avi", faces), faces, sound(4))
    assert set(colours(pictures)) == {RED} and pictures.choice.faces == 3


def test_the_sound_decides_and_not_the_place_in_the_list(tmp_path: Path) -> None:
    faces = [Face(colour=RED, x=80, voice=1), Face(colour=BLUE, x=270, voice=2)]
    path = write_faces(tmp_path / "a.avi", faces)
    for order in (faces, faces[::-1]):
        assert set(colours(cut(path, order, sound(1)))) == {RED}
        assert set(colours(cut(path, order, sound(2)))) == {BLUE}


@pytest.mark.parametrize("late_s", [-0.12, 0.12])
def test_sound_and_picture_may_be_apart_by_a_few_frames(tmp_path: Path, late_s: float) -> None:
    path = write_faces(tmp_path / "a.avi", [SPEAKER, LISTENER])
    assert set(colours(cut(path, [SPEAKER, LISTENER], sound(1, late_s)))) == {RED}


TWINS = [Face(colour=RED, x=70, side=70, voice=3), Face(colour=BLUE, x=270, side=80, voice=3)]


@pytest.mark.parametrize(
    ("faces", "wave_N", "compared"),
    [
        pytest.param([SPEAKER, LISTENER], None, False, id="no sound"),
        pytest.param([SPEAKER, LISTENER], np.zeros(48000, np.float32), False, id="silence"),
        pytest.param([replace(SPEAKER, voice=None), LISTENER], sound(1), True, id="shut mouths"),
        pytest.param([SPEAKER, LISTENER], sound(7), True, id="the voice of no one in the picture"),
        pytest.param(TWINS, sound(3), True, id="mouths that move alike"),
        pytest.param([SPEAKER, LISTENER], sound(1, 0.7), True, id="sound far too late"),
    ],
)
def test_what_sound_does_not_decide_is_cut_by_the_rule_largest(
    tmp_path: Path, faces: list[Face], wave_N: np.ndarray | None, compared: bool
) -> None:
    path = write_faces(tmp_path / "a.avi", faces)
    pictures, largest = cut(path, faces, wave_N), cut(path, faces, wave_N, LARGEST)
    assert pictures.choice.by == "largest" and set(colours(pictures)) == {BLUE}
    assert (pictures.track, pictures.faces, pictures.jumps) == (largest.track, largest.faces, largest.jumps)
    assert (pictures.choice.confidence is not None) == compared
    assert (pictures.choice.confidence or 0.0) <= BY_SOUND.face_confidence


@pytest.mark.parametrize("faces", [[], [SPEAKER], [LISTENER]])
def test_one_face_or_none_gives_the_bytes_of_the_rule_largest(tmp_path: Path, faces: list[Face]) -> None:
    path = write_faces(tmp_path / "a.avi", faces)
    assert cut(path, faces, sound(1)) == cut(path, faces, sound(1), LARGEST)


def test_the_rule_largest_needs_no_sound_and_compares_nothing(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "a.avi", [SPEAKER, LISTENER])
    one, other = (cut(path, [SPEAKER, LISTENER], wave_N, LARGEST) for wave_N in (None, sound(1)))
    assert one == other and set(colours(one)) == {BLUE} and one.choice.by == "alone"


@pytest.mark.parametrize("rule", [BY_SOUND, TABLE])
def test_faces_that_are_not_held_are_cut_from_a_second_decode_to_the_same_bytes(tmp_path: Path, rule: Shards) -> None:
    path = write_faces(tmp_path / "a.avi", [SPEAKER, LISTENER])
    held, again = (cut(path, [SPEAKER, LISTENER], sound(1), rule, held_bytes=size) for size in (2**30, 1))
    assert held == again and set(colours(again)) == {RED}


def test_a_point_of_the_table_decides_against_sound_and_size(tmp_path: Path) -> None:
    faces = [SPEAKER, LISTENER, Face(colour=GREEN, x=170, side=30)]
    path = write_faces(tmp_path / "a.avi", faces)
    pictures = cut(path, faces, sound(1), TABLE, point=(172.0, 118.0))
    assert set(colours(pictures)) == {GREEN} and pictures.choice.by == "table"


def test_a_point_in_no_face_leaves_the_choice_to_the_sound(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "a.avi", [SPEAKER, LISTENER])
    pictures = cut(path, [SPEAKER, LISTENER], sound(1), TABLE, point=(5.0, 5.0))
    assert set(colours(pictures)) == {RED} and pictures.choice.by == "speaker" and pictures.choice.off_point


def shots() -> list[Face]:
    """The speaker in the first and the last shot, at another place in each; the listener alone in between."""
    first, last = FRAMES * 2 // 5, FRAMES * 3 // 5
    return [
        Face(colour=RED, x=80, side=50, voice=6, stop=first),
        Face(colour=BLUE, x=90, side=80, first=first, stop=last),
        Face(colour=RED, x=250, side=60, voice=6, first=last),
    ]


def test_a_camera_that_cuts_away_gives_crops_of_the_speaker_alone(tmp_path: Path) -> None:
    faces = shots()
    path = write_faces(tmp_path / "a.avi", faces, lambda i: 150 if faces[1].first <= i < faces[1].stop else 70)
    pictures = cut(path, faces, sound(6))
    seen = colours(pictures)
    assert pictures.choice.by == "speaker" and set(seen) == {RED, None}
    for face in (faces[0], faces[2]):
        assert set(seen[face.first : face.stop]) == {RED}
    between = range(faces[1].first, faces[1].stop)
    assert {(seen[i], pictures.track.reasons[i], pictures.track.sources[i]) for i in between} == {
        (None, "other_face", "missing")
    }


def test_a_cut_to_another_face_at_the_same_place_is_no_movement_of_the_first(tmp_path: Path) -> None:
    half = FRAMES // 2
    faces = [
        Face(colour=RED, x=180, voice=1, stop=half),
        Face(colour=BLUE, x=182, first=half),
    ]
    path = write_faces(tmp_path / "a.avi", faces, lambda i: 70 if i < half else 160)
    pictures = cut(path, faces, sound(1))
    assert set(colours(pictures)[:half]) == {RED} and set(colours(pictures)[half:]) == {None}
    assert len(pictures.track.boxes) == round(SECONDS * 30)
