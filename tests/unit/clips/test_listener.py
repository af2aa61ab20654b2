"""The other person of a two-actor picture: the face that the crops show, its mask, and how long both speak."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.clips.listener import listener_key, with_listeners
from foalnet.clips.pictures import cut_pictures
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, UsageError
from foalnet.core.records import Box
from foalnet.export.rows import pictures_of, row_of
from foalnet.shards import Sample, open_shards, verify
from foalnet.sheet import write_sheets
from tests.support.corpus.rows import utterance
from tests.support.corpus.staging import Place, account
from tests.support.talkers import BLUE, FRAMES, GREEN, RATE_HZ, RED, Face, nearest, sound, write_faces

WIDTH = 360
LEFT, RIGHT = Face(colour=RED, x=80), Face(colour=BLUE, x=270, side=50)
# The right face is seen in the first third alone.
LEAVES = replace(RIGHT, stop=FRAMES // 3)
PARAMS = Shards(face_px=64, stride=6, bridge_s=0.3)
HEADER = "path,label,speaker,side,dialogue,start_s,end_s,audio,key"
TURNS = (
    "talk.avi,sad,ada,left,talk,0.0,2.0,talk.wav,ada1",
    "talk.avi,glad,ben,right,talk,1.5,3.0,talk.wav,ben1",
    "talk.avi,glad,ada,left,talk,2.5,3.0,talk.wav,ada2",
)


class InHalves:
    """A detector of half pictures: it sees the one face of the half with a ground of its colour."""

    name = "halves"

    def digest(self) -> str:
        """Return any digest."""
        return "1" * 64

    def weights(self) -> dict[str, str]:
        """Return {}."""
        return {}

    def detect(self, frames: Any) -> Any:
        """Return the box around the pixels of the one colour."""
        return [self.box(frame) for frame in frames]

    def box(self, frame: Any) -> Any:
        """Return the box of the half's face, [] without one."""
        strong = frame.max(axis=2).astype(int) - frame.min(axis=2) > 60
        if strong.sum() < 200:
            return []
        rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
        return [Box(left=columns[0], top=rows[0], right=columns[-1] + 1, bottom=rows[-1] + 1, score=0.9)]


def place_of(home: Path, monkeypatch: pytest.MonkeyPatch, params: Shards, right: Face = RIGHT, *more: str) -> Place:
    """Return a place with a recording of two people."""
    root = home / "root"
    root.mkdir(parents=True, exist_ok=True)
    write_faces(root / "talk.avi", [LEFT, right], lambda _: 90)
    soundfile.write(root / "talk.wav", sound(1), RATE_HZ, subtype="PCM_16")
    (root / "t.csv").write_text("\n".join([HEADER, *TURNS, *more]) + "\n")
    monkeypatch.setattr("foalnet.stages.shards.staging.get_detector", lambda params, settings: InHalves())
    return Place(
        home=home, root=root, reader="table", table="t.csv", classes={"sad": ["sad"], "glad": ["glad"]}, shards=params
    )


def staged(place: Place) -> dict[str, Sample]:
    place.stage()
    return {sample.key: sample for sample in open_shards(place.out).samples()}


def seen(jpegs: list[bytes]) -> list[tuple[int, int, int] | None]:
    return [nearest(media.read_jpeg(jpeg)) if jpeg else None for jpeg in jpegs]


def with_listener(params: Shards = PARAMS) -> Shards:
    return params.model_copy(update={"listener": True})


def test_the_listener_is_the_other_person_at_the_same_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, monkeypatch, with_listener())
    for key, sample in staged(place).items():
        own, other = (RED, BLUE) if key.startswith("ada") else (BLUE, RED)
        assert set(seen(sample.pictures("face"))) == {own} and set(seen(sample.pictures("listener"))) == {other}
        video, listener = sample.meta.video, sample.meta.listener_video
        assert video is not None and listener is not None
        assert len(listener.boxes) == len(video.times_s) == len(sample.pictures("listener"))
        assert all((box[0] + box[2] < WIDTH) == (other == RED) for box in listener.boxes)
        assert set(listener.sources) == {"detected", "bridged"} and set(listener.reasons) == {""}
        assert pictures_of(sample)["listener"] == sample.pictures("listener")
        assert row_of(sample)["listener_video"].keys() == {"overlap_s", "boxes", "scores", "sources", "reasons"}
    assert verify(place.out).faults == ()


def test_without_the_param_nothing_changes_and_with_it_only_members_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = staged(place_of(tmp_path / "off", monkeypatch, PARAMS))
    on = staged(place_of(tmp_path / "on", monkeypatch, with_listener()))
    for key, sample in off.items():
        assert sorted(sample.members) == ["face.mjpg", "flac", "half.mjpg", "json"]
        assert sorted(on[key].members) == ["face.mjpg", "flac", "half.mjpg", "json", "listener.mjpg"]
        for member in ("face.mjpg", "flac", "half.mjpg"):
            assert on[key].members[member] == sample.members[member]
        one, other = json.loads(on[key].members["json"]), json.loads(sample.members["json"])
        assert one.pop("listener_video") and one == other
        with pytest.raises(KeyError):
            sample.pictures("listener")
        assert on[key].has("listener") and not sample.has("listener")


def test_a_listener_who_leaves_is_masked_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, monkeypatch, with_listener(), LEAVES)
    sample = staged(place)["ada1"]
    listener = sample.meta.listener_video
    assert listener is not None and set(seen(sample.pictures("face"))) == {RED}
    crops = seen(sample.pictures("listener"))
    assert set(crops[: LEAVES.stop - 6]) == {BLUE} and set(crops[LEAVES.stop + 6 :]) == {None}
    for crop, source, reason, box in zip(crops, listener.sources, listener.reasons, listener.boxes, strict=True):
        assert (crop is None) == (source == "missing") == (reason == "no_face") == (box == [0.0] * 4)


def test_overlap_is_in_the_metadata_and_in_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, monkeypatch, with_listener(PARAMS.model_copy(update={"utterances": "used"})))
    shared = {key: s.meta.listener_video.overlap_s for key, s in staged(place).items() if s.meta.listener_video}
    # ben1 overlaps the end of ada1 and the whole of ada2.
    assert shared == {"ada1": 0.5, "ben1": 1.0, "ada2": 0.5}
    block = account(place)["listener"]
    assert block["overlap"] == {"utterances": 3, "seconds": 2.0} and block["overlap_s"] == shared
    frames = block["frames"]
    assert frames["total"] == account(place)["frames"]["total"] == frames["detected"] + frames["bridged"]
    assert "listener" not in account(replace_params(tmp_path / "off", monkeypatch))


def replace_params(home: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = place_of(home, monkeypatch, PARAMS)
    place.stage()
    return place


def test_a_picture_that_one_person_fills_has_no_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = "alone.avi,sad,cem,whole,alone,0.0,3.0,talk.wav,cem1"
    place = place_of(tmp_path, monkeypatch, with_listener(), RIGHT, alone)
    write_faces(place.root / "alone.avi", [Face(colour=GREEN, x=180)], lambda _: 90)
    sample = staged(place)["cem1"]
    assert sample.meta.listener_video is not None and sample.meta.listener_video.overlap_s == 0.0
    assert set(seen(sample.pictures("face"))) == {GREEN} and set(seen(sample.pictures("listener"))) == {None}
    assert set(sample.meta.listener_video.reasons) == {"no_listener"}
    assert account(place)["listener"]["frames"]["missing"] == {"no_listener": len(sample.pictures("face"))}


def test_a_corpus_without_two_people_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, monkeypatch, with_listener())
    table = place.root / "t.csv"
    table.write_text(table.read_text().replace(",left,", ",whole,").replace(",right,", ",whole,"))
    with pytest.raises(UsageError, match=r"shards\.listener is true, but no utterance"):
        place.stage()


def test_a_listener_that_is_not_held_is_cut_from_a_second_decode(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "a.avi", [LEFT, RIGHT], lambda _: 90)
    us = with_listeners([utterance("a", side="left", start_s=0.5, end_s=2.0)], with_listener())
    held, again = (
        cut_pictures(
            path,
            us,
            params=with_listener(),
            detector=InHalves(),
            timeout_s=60.0,
            held_bytes=size,  # type: ignore[arg-type]
        )
        for size in (2**30, 1)
    )
    assert held == again and held.keys() == {"a", listener_key("a")}
    assert set(held[listener_key("a")].halves) == {b""} and set(seen(list(held["a"].faces))) == {RED}


@pytest.mark.parametrize("damage", ["boxes", "listener_offsets", "reasons"])
def test_a_damaged_listener_is_refused(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = staged(place_of(tmp_path, monkeypatch, with_listener()))["ada1"]
    meta = json.loads(sample.members["json"])
    meta["listener_video"][damage].pop()
    broken = replace(sample, members={**sample.members, "json": json.dumps(meta).encode()})
    with pytest.raises(DataError, match="listener"):
        broken.check()


def test_a_member_more_or_less_than_declared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = staged(place_of(tmp_path, monkeypatch, with_listener()))["ada1"]
    less = {name: data for name, data in sample.members.items() if name != "listener.mjpg"}
    meta = json.loads(sample.members["json"])
    del meta["listener_video"]
    for members in (less, {**sample.members, "json": json.dumps(meta).encode()}):
        with pytest.raises(DataError, match="it declares"):
            replace(sample, members=members).check()


def test_the_sheet_shows_the_listener_and_how_long_both_speak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, monkeypatch, with_listener(), LEAVES)
    write_sheets(place.stage_paths(), place.settings)
    page = "".join(path.read_text() for path in sorted((place.settings.work / "sheets").rglob("*.html")))
    ada1 = page[page.index("<h2>ada1</h2>") : page.index("</article>", page.index("<h2>ada1</h2>"))]
    (note,) = re.findall(r"listener&#39;s face: (\d+) of (\d+) frames; another speaker speaks for 0\.50 s of it", ada1)
    assert 0 < int(note[0]) < int(note[1])
    assert ada1.count('alt="listener"') == 1
