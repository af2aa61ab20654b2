"""The default detector on drawn and real faces: its boxes are the speaker's, hairline to chin, and do not jump."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from bench import drawn_videos, faces, faces_real
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector

BY_NAME = {condition.name: condition for condition in (*drawn_videos.CONDITIONS, drawn_videos.STILL)}


def measured(video: drawn_videos.DrawnVideo) -> faces.Tally:
    return faces.measure([video], get_detector(Shards(), Settings()), Shards())


def drawn(name: str, folder: Path) -> drawn_videos.DrawnVideo:
    """Draw a short video of two actors under one condition."""
    return drawn_videos.draw_video(BY_NAME[name], folder, session=1, utterances=2)


@pytest.mark.parametrize("name", ["frontal", "head band", "second person", "dark"])
def test_it_keeps_the_speakers_face_and_its_box_is_hairline_to_chin(name: str, tmp_path: Path) -> None:
    video = drawn(name, tmp_path)
    tally = measured(video)
    assert {u.side for u in video.utterances} == {"left", "right"} and len(tally.sides) == 2 and tally.visible > 60
    assert np.median(tally.overlaps) >= 0.75
    assert tally.detected + tally.bridged >= 0.95 * tally.visible and tally.hits >= 0.95 * tally.looks
    if name in ("frontal", "second person"):
        assert all(tally.right) and all(tally.sides) and len(tally.right) > 60


def test_the_crop_of_a_still_face_stands_still_to_a_pixel(tmp_path: Path) -> None:
    tally = measured(drawn("still", tmp_path))
    assert len(tally.jitter_px) == 2 and max(tally.jitter_px) < 1.0


def test_real_heads_at_the_corpus_size_are_kept_on_their_side(shared_data: Path, tmp_path: Path) -> None:
    tally = measured(faces_real.two_heads(shared_data, faces_real.PAIRS[0], tmp_path, face_px=40))
    assert tally.hits >= 0.9 * tally.looks and np.median(tally.overlaps) >= 0.75
    assert all(tally.right) and all(tally.sides)


@pytest.mark.long
def test_it_detects_no_one_in_real_pictures_without_faces(shared_data: Path) -> None:
    detector = get_detector(Shards(), Settings())
    groups = itertools.islice(faces_real.groups(shared_data, step=36), 4)
    seen = {name: faces.recall(pictures, detector) for name, pictures in groups}
    assert seen.pop("grass") == (0, 0, 0) and seen.pop("no_face") == (0, 0, 0)
    assert {name: there for name, (there, _, _) in seen.items()} == {"heads, 35-45 px": 36, "heads, as filmed": 12}
    assert all(hits >= 0.9 * there and wrong == 0 for there, hits, wrong in seen.values())
