"""Several faces in a picture, from a table to the shards and in `predict`: which face is cut, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from bench.speaker import Clips, Group, compose, groups_of
from foalnet import media
from foalnet.config import Params, Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from foalnet.predict.request import Request
from foalnet.predict.staging import StagedClip, Stager
from foalnet.shards import Sample, open_shards
from tests.support.corpus.staging import Place, account, entries
from tests.support.talkers import BLUE, GREEN, RATE_HZ, RED, Face, nearest, seeing, sound, write_faces

FACES = [
    Face(colour=RED, x=60, side=44, voice=1),
    Face(colour=BLUE, x=280, side=80, voice=2),
    Face(colour=GREEN, x=170, side=50),
]
# Clip -> the voice in its sound.
VOICES = {"red": 1, "blue": 2, "other": 7}


def place_of(home: Path, params: Shards, clips: Sequence[str]) -> Place:
    """Return a place with a table of clips, each of which has a sound file of its own."""
    rows = [f"{clip}.avi,{('sad', 'glad')[i % 2]},ada,{clip}.wav,{clip}" for i, clip in enumerate(clips)]
    (home / "root/t.csv").write_text("\n".join(["path,label,speaker,audio,key", *rows]) + "\n")
    return Place(
        home=home, root=home / "root", reader="table", table="t.csv", classes={"sad": ["sad"], "glad": ["glad"]},
        shards=params,
    )  # fmt: skip


def samples(place: Place) -> dict[str, Sample]:
    return {sample.key: sample for sample in open_shards(place.out).samples()}


def seen(sample: Sample) -> set[tuple[int, int, int]]:
    return {nearest(media.read_jpeg(jpeg)) for jpeg in sample.pictures("face") if jpeg}


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "root").mkdir()
    for clip, voice in VOICES.items():
        write_faces(tmp_path / f"root/{clip}.avi", FACES)
        soundfile.write(tmp_path / f"root/{clip}.wav", sound(voice), RATE_HZ, subtype="PCM_16")
    monkeypatch.setattr("foalnet.stages.shards.staging.get_detector", lambda params, settings: seeing(FACES))
    return tmp_path


def test_the_speaker_is_staged_and_the_account_says_how_it_was_chosen(drawn: Path) -> None:
    place = place_of(drawn, Shards(face="speaker"), list(VOICES))
    place.stage()
    assert {key: seen(sample) for key, sample in samples(place).items()} == {
        "red": {RED}, "blue": {BLUE}, "other": {BLUE},
    }  # fmt: skip
    faces = account(place)["faces"]
    counts = {name: faces[name] for name in ("mode", "bound", "several", "by_sound", "by_table", "unsure")}
    assert counts == {
        "mode": "speaker", "bound": 0.8, "several": 3, "by_sound": 2, "by_table": 0, "unsure": 1,
    }  # fmt: skip
    rows = {row["key"]: row for row in faces["utterances"]}
    assert {key: (row["faces"], row["by"]) for key, row in rows.items()} == {
        "red": (3, "speaker"), "blue": (3, "speaker"), "other": (3, "largest"),
    }  # fmt: skip
    assert rows["other"]["confidence"] <= 0.8 < min(rows["red"]["confidence"], rows["blue"]["confidence"])
    assert entries(place)["other"] == [("kept", "face_unsure")] and "red" not in entries(place)


def test_the_rule_largest_says_nothing_of_other_faces(drawn: Path) -> None:
    place = place_of(drawn, Shards(), list(VOICES))
    place.stage()
    assert all(seen(sample) == {BLUE} for sample in samples(place).values())
    assert "faces" not in account(place) and entries(place) == {}


class Tabled(Place):
    """A place with a table of sides in its entry."""

    @property
    def params(self) -> Params:
        return super().params.model_copy(update={"sides_table": str(self.home / "sides.txt")})


def test_the_table_decides_where_it_has_a_line_and_stages_only_its_dialogues_again(drawn: Path) -> None:
    clips = ["red", "blue"]
    base = place_of(drawn, Shards(face="table"), clips)
    table = Tabled(**{name: getattr(base, name) for name in base.__dataclass_fields__})
    (drawn / "sides.txt").write_text("# none yet\n")
    assert table.stage().staged_now == 1
    by_sound = table.bytes()
    # As the rule speaker, for which nothing is staged again.
    assert replace(base, shards=Shards(face="speaker")).stage().staged_now == 0
    assert {k: v for k, v in by_sound.items() if k.endswith(".tar")} == {
        k: v for k, v in base.bytes().items() if k.endswith(".tar")
    }
    (drawn / "sides.txt").write_text("blue face 170 120\nred face 2 2\n")
    table.stage()
    assert {key: seen(sample) for key, sample in samples(table).items()} == {"red": {RED}, "blue": {GREEN}}
    assert entries(table) == {
        "blue": [("repaired", "face_by_table")], "red": [("kept", "face_off_point")],
    }  # fmt: skip


def stager(params: Shards, detector: object) -> Stager:
    return Stager(
        params=params, inputs=("audio", "video"), sees=True, detector=lambda: detector,  # type: ignore[arg-type, return-value]
        longest_s=60.0, timeout_s=60.0, held_bytes=1 << 28,
    )  # fmt: skip


def predicted(folder: Path, clip: str, params: Shards, detector: object, face: str | None = None) -> StagedClip:
    (folder / "work").mkdir(exist_ok=True)
    request = Request(clip=folder / f"root/{clip}.avi", sound=folder / f"root/{clip}.wav", face=face)  # type: ignore[arg-type]
    (one,) = stager(params, detector).stage(request, folder / "work")
    return one


def test_predict_cuts_the_face_that_staging_cuts_and_says_why(drawn: Path) -> None:
    params = Shards(face="speaker")
    place = place_of(drawn, params, list(VOICES))
    place.stage()
    for key, sample in samples(place).items():
        one = predicted(drawn, key, params, seeing(FACES))
        for member in ("face.mjpg", "half.mjpg", "flac"):
            assert one.sample.members[member] == sample.members[member], (key, member)
        assert one.sample.meta.video == sample.meta.video
        (note,) = one.notes
        says = "no mouth surely moves with the sound, the largest is used" if key == "other" else "(confidence 0."
        assert note.startswith("of 3 faces, ") and says in note


def test_predict_takes_another_rule_than_the_training(drawn: Path) -> None:
    largest = Shards(roi=2.0)
    assert seen(predicted(drawn, "red", largest, seeing(FACES)).sample) == {BLUE}
    by_sound = predicted(drawn, "red", largest, seeing(FACES), face="speaker")
    assert seen(by_sound.sample) == {RED} and len(by_sound.notes) == 1
    assert seen(predicted(drawn, "red", Shards(face="speaker"), seeing(FACES), face="largest").sample) == {BLUE}


KINDS = ("2, others rest and sway", "3, others rest")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_of_real_heads_the_one_that_speaks_is_cut(
    kind: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The speaker is the smallest; each crop is compared with the pictures of every head (GRID corpus, CC BY 4.0)."""
    monkeypatch.setenv("FOALNET_WEIGHTS", str(shared_data / "weights"))
    (tmp_path / "root").mkdir()
    clips = Clips(shared_data, tmp_path)
    group = list(groups_of(kind))[4]
    path = tmp_path / "root/group.mp4"
    compose(group, clips, path, width_px=640, seed=1)
    path.rename(path.with_suffix(".avi"))
    soundfile.write(path.with_suffix(".wav"), clips.sound(group), RATE_HZ, subtype="PCM_16")
    soundfile.write(tmp_path / "root/quiet.wav", np.zeros(RATE_HZ), RATE_HZ)
    params = Shards(detector="yunet", face="speaker")
    place = place_of(tmp_path, params, ["group"])
    with (tmp_path / "root/t.csv").open("a") as table:
        table.write("quiet.wav,glad,ben,,quiet\n")
    place.stage()
    sample = samples(place)["group"]
    (row,) = account(place)["faces"]["utterances"]
    assert (row["faces"], row["by"]) == (len(group.heads), "speaker") and row["confidence"] > params.face_confidence
    assert heads_in(sample, group, clips) == {group.speaker}
    detector = get_detector(params, Settings(weights=shared_data / "weights"))
    one = predicted(tmp_path, "group", params, detector)
    assert one.sample.members["face.mjpg"] == sample.members["face.mjpg"]
    assert json.loads(one.sample.members["json"])["video"] == json.loads(sample.members["json"])["video"]


def heads_in(sample: Sample, group: Group, clips: Clips) -> set[int]:
    """Return the positions of the heads shown by the crops, each by the best likeness to a head's picture."""
    shown = set()
    crops = sample.pictures("face")
    for index in range(0, len(crops), 8):
        crop = cv2.cvtColor(media.read_jpeg(crops[index]), cv2.COLOR_RGB2GRAY)
        shown.add(max(range(len(group.heads)), key=lambda place: likeness(crop, group, place, index, clips)))
    return shown


def likeness(crop: np.ndarray, group: Group, place: int, index: int, clips: Clips) -> float:
    """Return how well a crop fits into a head's picture at the best of a few sizes."""
    head = group.heads[place]
    picture = cv2.cvtColor(clips.pictures[head.clip][head.play(index)], cv2.COLOR_RGB2GRAY)
    sizes = (cv2.resize(crop, (side, side)) for side in range(160, 281, 20))
    return max(float(cv2.matchTemplate(picture, size, cv2.TM_CCOEFF_NORMED).max()) for size in sizes)
