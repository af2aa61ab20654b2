"""Videos that are cut, missing, or show nobody: every utterance keeps its sound and its slots, with a mask and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.errors import DataError
from foalnet.records import Box, Sample
from foalnet.shards import open_shards, split_frames
from tests.clips_tree import FPS, LocalPool, Place, lay_tree, picture, write_avi

DIALOGUE, OTHER = "Ses01F_impro01", "Ses01M_impro02"
AVI = f"Session1/dialog/avi/DivX/{DIALOGUE}.avi"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_tree(tmp_path_factory.mktemp("tree"), [DIALOGUE, OTHER])


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foalnet.clips.staging.Pool", LocalPool)


@pytest.fixture(scope="module")
def whole(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(home=tmp_path_factory.mktemp("whole"), root=original)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foalnet.clips.staging.Pool", LocalPool)
        place.stage()
    return place


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Place:
    shutil.copytree(original, tmp_path / "root")
    return Place(home=tmp_path, root=tmp_path / "root")


def samples(place: Place) -> dict[str, tuple[dict[str, Any], Sample]]:
    return {s.key: (json.loads(s.members["json"])["video"], s) for s in open_shards(place.out).samples()}


def entries(place: Place) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for e in json.loads(place.report.read_bytes())["ledger"]["entries"]:
        found.setdefault(e["item"], []).append((e["kind"], e["reason"]))
    return found


def same_sound_as(whole: Place, place: Place) -> bool:
    return {k: s.members["flac"] for k, (_, s) in samples(place).items()} == {
        k: s.members["flac"] for k, (_, s) in samples(whole).items()
    }


def other_dialogue_is_untouched(whole: Place, place: Place) -> bool:
    name = "Session1/000001.tar"
    return place.bytes()[name] == whole.bytes()[name]


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_t18_truncated_avi_masks_what_is_missing_and_nothing_else(place: Place, whole: Place, percent: int) -> None:
    data = (place.root / AVI).read_bytes()
    (place.root / AVI).write_bytes(data[: len(data) * percent // 100])
    last_s = media.probe_times(place.root / AVI).times_s[-1]
    place.stage()
    got, full = samples(place), samples(whole)
    assert set(got) == set(full) and same_sound_as(whole, place) and other_dialogue_is_untouched(whole, place)
    touched = 0
    for key in (k for k in got if k.startswith(DIALOGUE)):
        video, sample = got[key]
        assert np.allclose(video["times_s"], full[key][0]["times_s"], atol=1e-4)
        exists = [t <= last_s + 1e-6 for t in video["times_s"]]
        assert [s != "missing" for s in video["sources"]] == exists
        halves = split_frames(sample.members["half.mjpg"], video["half_offsets"])
        faces = split_frames(sample.members["face.mjpg"], video["face_offsets"])
        assert [bool(h) for h in halves] == exists == [bool(f) for f in faces]
        reason = "video_truncated" if any(exists) else "video_missing"
        assert {r for r, e in zip(video["reasons"], exists, strict=True) if not e} <= {reason}
        wanted = [] if all(exists) else [("kept", reason)]
        assert entries(place).get(key, []) == wanted
        touched += not all(exists)
        earlier = split_frames(full[key][1].members["half.mjpg"], full[key][0]["half_offsets"])
        assert all(h == e for h, e in zip(halves, earlier, strict=True) if h)
    assert touched >= {10: 3, 50: 2, 90: 1}[percent]


def test_t23_missing_avi_masks_all_its_utterances(place: Place, whole: Place) -> None:
    (place.root / AVI).unlink()
    place.stage()
    got = samples(place)
    assert same_sound_as(whole, place) and other_dialogue_is_untouched(whole, place)
    for key in (k for k in got if k.startswith(DIALOGUE)):
        video, sample = got[key]
        assert set(video["sources"]) == {"missing"} and set(video["reasons"]) == {"video_missing"}
        assert abs(len(video["times_s"]) - len(samples(whole)[key][0]["times_s"])) <= 1
        assert sample.members["face.mjpg"] == sample.members["half.mjpg"] == b""
        assert entries(place)[key] == [("kept", "video_missing")]


@pytest.mark.parametrize("data", [b"", b"a text file, renamed\n" * 200, b"RIFF\0\0\0\0AVI LIST" + b"\0" * 4000])
def test_t19_t20_an_avi_that_is_none_is_counted_as_unreadable(place: Place, whole: Place, data: bytes) -> None:
    (place.root / AVI).write_bytes(data)
    place.stage()
    assert same_sound_as(whole, place) and other_dialogue_is_untouched(whole, place)
    assert entries(place)[DIALOGUE] == [("kept", "video_unreadable")]
    assert entries(place)[f"{DIALOGUE}_M000"] == [("kept", "video_missing")]
    assert str(place.root) not in place.report.read_text()


def test_t24_shadow_files_change_no_byte(place: Place, whole: Place) -> None:
    for path in sorted(p for p in place.root.rglob("*") if p.is_file()):
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07Mac OS X        ")
    place.stage()
    assert place.bytes() == whole.bytes()
    ignored = json.loads((place.home / "inventory.json").read_bytes())["ignored"]
    assert ignored["shadow"] == sum(1 for p in place.root.rglob("._*"))


def test_a_hole_in_the_video_shifts_nothing(place: Place, whole: Place) -> None:
    """Frames that do not decode are masked in their own slots; those behind them stay where they are."""
    info = media.probe_times(place.root / AVI)
    data = bytearray((place.root / AVI).read_bytes())
    # The first is in the header, the last ones are in the index.
    packets = [i for i in range(len(data) - 8) if data[i : i + 4] == b"00dc"][1 : 1 + len(info.times_s)]
    for i in packets[36:48]:  # one group of pictures, its key frame included
        size = int.from_bytes(data[i + 4 : i + 8], "little")
        data[i + 8 : i + 8 + size] = b"\0" * size
    (place.root / AVI).write_bytes(bytes(data))
    place.stage()
    assert ("kept", "video_damaged") in entries(place)[f"{DIALOGUE}_M000"]
    for key, (video, sample) in samples(place).items():
        if not key.startswith(DIALOGUE):
            continue
        for slot, jpeg in enumerate(split_frames(sample.members["half.mjpg"], video["half_offsets"])):
            index = round(video["times_s"][slot] * FPS)
            if index < 36 or index >= 48:
                full = samples(whole)[key]
                assert jpeg == split_frames(full[1].members["half.mjpg"], full[0]["half_offsets"])[slot]
            elif not jpeg:
                assert video["reasons"][slot] == "video_damaged" and video["boxes"][slot] is None


class Seldom:
    """A detector that sees the face only on some of the pictures it is asked about."""

    name = "seldom"

    def __init__(self, sees) -> None:
        self.sees = sees

    def digest(self) -> str:
        return "0" * 64

    def weights(self) -> dict[str, str]:
        return {}

    def detect(self, frames) -> list[list[Box]]:
        box = Box(left=100.0, top=60.0, right=200.0, bottom=160.0)
        return [[box] if self.sees(i, len(frames)) else [] for i in range(len(frames))]


def stage_with(place: Place, monkeypatch: pytest.MonkeyPatch, sees) -> dict[str, tuple[dict[str, Any], Sample]]:
    monkeypatch.setattr("foalnet.clips.staging.get_detector", lambda params, settings: Seldom(sees))
    place.stage()
    return samples(place)


def test_t50_no_face_at_all_keeps_every_slot_masked_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    got = stage_with(place, monkeypatch, lambda i, n: False)
    account = json.loads(place.report.read_bytes())
    assert account["no_face"] == sorted(got) and account["coverage"]["overall"] == 0.0
    for key, (video, sample) in got.items():
        assert set(video["reasons"]) == {"no_face"} and sample.members["face.mjpg"] == b""
        assert all(split_frames(sample.members["half.mjpg"], video["half_offsets"]))
        assert entries(place)[key] == [("kept", "no_face")]


def test_t50_no_face_in_the_first_second(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Shards(detector="fixed", stride=2, bridge_s=0.2)
    got = stage_with(Place(home=place.home, root=place.root, shards=shards), monkeypatch, lambda i, n: i >= n - 4)
    for video, sample in got.values():
        faces = split_frames(sample.members["face.mjpg"], video["face_offsets"])
        assert faces[-1] and not faces[0]
        assert [bool(f) for f in faces] == [s != "missing" for s in video["sources"]]
        assert video["reasons"][0] == "no_face" and video["reasons"][-1] is None


def test_t50_a_face_in_every_second_picture_is_bridged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    got = stage_with(place, monkeypatch, lambda i, n: i % 2 == 0 or i == n - 1)
    assert all("missing" not in video["sources"] for video, _ in got.values())


def test_t54_a_detector_that_breaks_down_is_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(i: int, n: int) -> bool:
        raise RuntimeError("cuDNN on a bad day")

    got = stage_with(place, monkeypatch, broken)
    assert all(("kept", "detector_failed") in entries(place)[key] for key in got)


def test_an_utterance_longer_than_memory_is_refused_by_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foalnet.clips.pictures.MAX_OPEN_BYTES", 5_000_000)
    with pytest.raises(DataError, match="GiB") as caught:
        place.stage()
    assert caught.value.utterance == f"{DIALOGUE}_F000"


def test_memory_follows_the_open_utterances_not_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    from foalnet.clips.pictures import film_dialogue
    from foalnet.faces import FixedDetector
    from foalnet.records import Utterance

    write_avi(tmp_path / "a.avi", [picture(i % 80) for i in range(400)], rate="25")
    turns = [
        Utterance(
            key=f"u{i:02d}",
            corpus="c",
            session="s",
            dialogue="a",
            speaker="p",
            side="left",
            start_s=float(i),
            end_s=i + 1.0,
            raw_label="neu",
            label=None,
        )
        for i in range(16)
    ]
    # The frames held to find the bars, 9 x 8 of 1 MB, would hide what is measured here.
    monkeypatch.setattr("foalnet.clips.pictures.LETTERBOX_STEP", 1)
    tracemalloc.start()
    films = film_dialogue(
        tmp_path / "a.avi", turns, params=Shards(detector="fixed"), detector=FixedDetector(), timeout_s=60.0
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(films) == 16
    # 25 half frames of 260 kB are 6.5 MB and 9 whole ones 9 MB; 25 whole frames would be 26 MB, 400 half frames 104 MB.
    assert peak < 24e6
