"""The bench of faces: its scenes are what they say, its figures can be bad, and the default detector's are good."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import drawn_videos, faces, faces_real
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.drawn import picture as drawing
from foalnet.faces import FixedDetector, get_detector, haar
from foalnet.faces.base import Fit
from foalnet.media import decode_frames

BY_NAME = {condition.name: condition for condition in (*drawn_videos.CONDITIONS, drawn_videos.STILL)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, drawn_videos.DrawnVideo]:
    """One short film of two actors for each condition asked for here."""
    folder = tmp_path_factory.mktemp("films")
    names = ("frontal", "head band", "second person", "dark", "still")
    return {name: drawn_videos.draw_video(BY_NAME[name], folder, session=1, utterances=2) for name in names}


def measured(video: drawn_videos.DrawnVideo) -> faces.Tally:
    return faces.measure([video], get_detector(Shards(), Settings()), Shards())


def skin_share(frame: np.ndarray, box: Box) -> float:
    """Return the share of a box's pixels that have the colour of skin."""
    face = frame[round(box.top) : round(box.bottom), round(box.left) : round(box.right)]
    hue = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2HSV)
    return float(((hue[..., 0] < 20) & (hue[..., 1] > 30)).mean())


@pytest.fixture(scope="module")
def tallies(videos: dict[str, drawn_videos.DrawnVideo]) -> dict[str, faces.Tally]:
    """What the default detector made of each film."""
    return {name: measured(video) for name, video in videos.items()}


@pytest.mark.parametrize("name", ["frontal", "head band", "second person", "dark"])
def test_the_default_detector_keeps_the_speakers_face_and_its_box_is_hairline_to_chin(
    tallies: dict[str, faces.Tally], name: str
) -> None:
    tally = tallies[name]
    assert len(tally.sides) == 2 and tally.visible > 60
    assert np.median(tally.overlaps) >= 0.75
    assert tally.detected + tally.bridged >= 0.95 * tally.visible and tally.hits >= 0.95 * tally.looks


@pytest.mark.parametrize("name", ["frontal", "second person"])
def test_every_box_is_the_speakers_on_both_sides(
    videos: dict[str, drawn_videos.DrawnVideo], tallies: dict[str, faces.Tally], name: str
) -> None:
    tally = tallies[name]
    assert {u.side for u in videos[name].utterances} == {"left", "right"}
    assert all(tally.right) and all(tally.sides) and len(tally.right) > 60


def test_the_crop_of_a_still_face_stands_still_to_a_pixel(
    videos: dict[str, drawn_videos.DrawnVideo], tallies: dict[str, faces.Tally]
) -> None:
    tally = tallies["still"]
    assert len(tally.jitter_px) == 2 and max(tally.jitter_px) < 1.0
    frames = list(decode_frames(videos["still"].path))
    assert np.abs(frames[20].astype(int) - frames[21])[drawing.ROWS[0] + 4 : drawing.ROWS[1] - 4].mean() > 0.5


class Drifting:
    """The default detector, its boxes moved two pixels further to the right at every look."""

    name = "drifting"

    def __init__(self) -> None:
        self._own = get_detector(Shards(), Settings())

    def digest(self) -> str:
        return ""

    def weights(self) -> dict[str, str]:
        return {}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        return [
            [replace(box, left=box.left + 2 * look, right=box.right + 2 * look) for box in boxes]
            for look, boxes in enumerate(self._own.detect(frames))
        ]


def test_the_jitter_of_a_still_face_shows_a_drifting_detector(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    assert min(faces.measure([videos["still"]], Drifting(), Shards()).jitter_px) > 2.0


def test_boxes_without_the_fit_are_farther_from_the_face(
    videos: dict[str, drawn_videos.DrawnVideo], tallies: dict[str, faces.Tally], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = np.median(tallies["frontal"].overlaps)
    monkeypatch.setattr(haar, "FIT", Fit(width=1.0, height=1.0))
    assert np.median(measured(videos["frontal"]).overlaps) < good - 0.05


def test_boxes_on_no_face_are_counted_as_such(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    tally = faces.measure([videos["frontal"]], FixedDetector(), Shards(detector="fixed"))
    assert tally.hits == tally.detected == tally.bridged == 0 and tally.visible > 60
    assert np.median(tally.overlaps) < faces.SAME


def test_a_wrong_side_is_counted_as_such(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    video = videos["frontal"]
    keys = [u.key for u in video.utterances]
    swapped = drawn_videos.DrawnVideo(
        path=video.path,
        utterances=video.utterances,
        boxes={keys[0]: video.boxes[keys[1]], keys[1]: video.boxes[keys[0]]},
        others={key: [[box] for box in video.boxes[key]] for key in keys},
        visible=video.visible,
    )
    tally = measured(swapped)
    assert not any(tally.right) and tally.detected == 0


def test_each_side_has_a_guest_whom_the_pictures_edge_cuts(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    video = videos["second person"]
    frame = next(iter(decode_frames(video.path)))
    _, left, right = video.others[video.utterances[0].key][0]
    first, last = drawing.COLUMNS["left"][1], drawing.COLUMNS["right"][0]
    assert left.left < first - 12 and left.right > first and right.left < last and right.right > last + 12
    assert skin_share(frame, replace(left, right=first)) > 0.5 and skin_share(frame, replace(right, left=last)) > 0.5
    assert frame[124:356, first + 3 : last - 3].mean() < 20
    assert [len(boxes) for boxes in videos["frontal"].others[video.utterances[0].key][:1]] == [1]


def test_dark_is_dark(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    plain, dark = (next(iter(decode_frames(videos[name].path)))[124:356, 20:340] for name in ("frontal", "dark"))
    assert dark.mean() < 0.4 * plain.mean()


def test_a_video_is_drawn_to_the_same_bytes_again(videos: dict[str, drawn_videos.DrawnVideo], tmp_path: Path) -> None:
    again = drawn_videos.draw_video(BY_NAME["second person"], tmp_path, session=1, utterances=2)
    assert again.path.read_bytes() == videos["second person"].path.read_bytes()
    assert again.boxes == videos["second person"].boxes


def test_true_boxes_enclose_skin(videos: dict[str, drawn_videos.DrawnVideo]) -> None:
    video = videos["frontal"]
    frames = list(decode_frames(video.path))
    for u in video.utterances:
        index = drawn_videos.frame_at(u.start_s) + 5
        assert skin_share(frames[index], video.boxes[u.key][index]) > 0.5


def test_hits_and_false_boxes_by_hand() -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    # The detector says the central box (50, 30, 110, 90) of everything.
    there = Box(left=52, top=28, right=112, bottom=92)
    elsewhere = Box(left=0, top=0, right=30, bottom=30)
    pictures = [
        faces_real.Picture(pixels_HWC=picture, faces=faces_there)
        for faces_there in ((there,), (there, elsewhere), (), (elsewhere,))
    ]
    assert faces.recall(pictures, FixedDetector()) == (4, 2, 2)


def test_it_prints_its_tables_and_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FOALNET_SHARED_DATA", raising=False)
    monkeypatch.setenv("FOALNET_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    faces.main(["--detectors", "haar,yunet", "--conditions", "frontal", "--sessions", "1", "--utterances", "1"])
    said = capsys.readouterr().out.splitlines()
    assert (
        said[0] == "drawn scenes" and said[2].split()[:2] == ["haar", "frontal"] and float(said[2].split()[3]) >= 0.75
    )
    assert any(line.startswith("real heads and pictures: not measured, FOALNET_SHARED_DATA") for line in said)
    assert any(line.startswith("haar") and " drawn " in line for line in said)
    assert said[-1].startswith("yunet: not measured") and not any("yunet" in line for line in said[:-1])


def test_real_heads_at_the_corpus_size_are_kept_on_their_side(shared_data: Path, tmp_path: Path) -> None:
    video = faces_real.two_heads(shared_data, faces_real.PAIRS[0], tmp_path, face_px=40)
    tally = measured(video)
    assert tally.hits >= 0.9 * tally.looks and np.median(tally.overlaps) >= 0.75
    assert all(tally.right) and all(tally.sides)


@pytest.mark.long
def test_the_default_detects_no_one_in_real_pictures_without_faces(shared_data: Path) -> None:
    detector = get_detector(Shards(), Settings())
    groups = itertools.islice(faces_real.groups(shared_data, step=36), 4)
    seen = {name: faces.recall(pictures, detector) for name, pictures in groups}
    assert seen.pop("grass") == (0, 0, 0) and seen.pop("no_face") == (0, 0, 0)
    assert {name: there for name, (there, _, _) in seen.items()} == {"heads, 35-45 px": 36, "heads, as filmed": 12}
    assert all(hits >= 0.9 * there and wrong == 0 for there, hits, wrong in seen.values())
