"""Two real talking heads in one letterboxed picture, staged: the right head, the exact sound, the right frames.

The clips (GRID corpus, CC BY 4.0) lie beside the checkout in ../shared/data; without them this is skipped.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.shards import Sample, open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import RATE_HZ
from tests.support.heads import TURNS, at_size, clip_frames, clip_sound, shown, write_heads

FACE_PX = 42
# Dialogue -> (left clip, right clip, frame rate). The actor with the markers (letter at the front) sits left.
DIALOGUES = {
    "Ses01F_impro01": ("bbaf2n", "brbk7n", "30000/1001"),
    "Ses02M_impro02": ("lbax4n", "pwij3p", "25"),
}


@pytest.fixture(scope="module")
def heads(shared_data: Path) -> dict[str, list[np.ndarray]]:
    names = sorted({name for pair in DIALOGUES.values() for name in pair[:2]})
    return {name: at_size(clip_frames(shared_data, name), FACE_PX) for name in names}


@pytest.fixture(scope="module")
def tree(
    shared_data: Path, heads: dict[str, list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray]]:
    """The tree, and the sound of each utterance."""
    root, sounds = tmp_path_factory.mktemp("heads"), {}
    scratch = tmp_path_factory.mktemp("sound")
    voices = {name: clip_sound(shared_data, name, scratch) for name in heads}
    for dialogue, (left, right, rate) in DIALOGUES.items():
        sounds |= write_heads(
            root, dialogue, (left, right), rate, voices=voices,
            show=lambda clip, time_s, _: shown(heads[clip], time_s),
        )  # fmt: skip
    return root, sounds


def staged(
    place: Place, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[dict[str, Any], Sample]]:
    monkeypatch.setenv("FOALNET_WEIGHTS", str(shared_data / "weights"))
    place.stage()
    return {s.key: (json.loads(s.members["json"]), s) for s in open_shards(place.out).samples()}


def likeness(crop: np.ndarray, side_px: int, half: np.ndarray) -> float:
    """Return how well a face crop, at its own size, fits anywhere in a half picture: the best correlation."""
    small = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (half, small)]
    return float(cv2.matchTemplate(grey[0], grey[1], cv2.TM_CCOEFF_NORMED).max())


@pytest.mark.parametrize(
    ("detector", "roi"),
    [
        pytest.param("haar", 0.0, marks=pytest.mark.long),
        pytest.param("haar", 3.0, marks=pytest.mark.long),
        pytest.param("blazeface", 0.0, marks=pytest.mark.long),
        pytest.param("yunet", 0.0, marks=pytest.mark.long),
        pytest.param("yunet", 3.0, marks=pytest.mark.long),
    ],
)
def test_two_real_heads_are_separated_and_cut_exactly(
    detector: str,
    roi: float,
    tree: tuple[Path, dict[str, np.ndarray]],
    heads: dict[str, list[np.ndarray]],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, sounds = tree
    params = Shards(detector=detector, roi=roi)
    place = replace(Place(home=tmp_path, root=root), shards=params)
    got = staged(place, shared_data, monkeypatch)
    assert set(got) == set(sounds)
    for key, (meta, sample) in got.items():
        dialogue, _, suffix = key.rpartition("_")
        left, right, rate = DIALOGUES[dialogue]
        _, start, end = next(turn for turn in TURNS if turn[0] == suffix)
        video = meta["video"]
        # The cut: sound to the sample, frames to within one.
        wave_N, rate_hz = media.read_flac(sample.members["flac"])
        assert rate_hz == RATE_HZ and np.array_equal(np.rint(wave_N * 32768).astype(np.int16), sounds[key])
        assert abs(len(video["times_s"]) - (end - start) * Fraction(rate)) <= 1
        # The side: every crop is the speaker's head and not the listener's.
        speaker_left = suffix[0] == dialogue[5]
        assert meta["side"] == ("left" if speaker_left else "right")
        own, other = (left, right) if speaker_left else (right, left)
        crops = sample.pictures("face")
        covered = [i for i, jpeg in enumerate(crops) if jpeg]
        assert len(covered) >= 0.9 * len(crops)
        for i in covered:
            box = video["boxes"][i]
            side_px = round(max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * params.margin))
            face, time_s = media.read_jpeg(crops[i]), video["times_s"][i] + 1e-4
            fits = likeness(face, side_px, shown(heads[own], time_s))
            assert fits > 0.9 and fits > likeness(face, side_px, shown(heads[other], time_s)) + 0.1, (key, i, fits)
            assert 0.6 * FACE_PX < box[3] - box[1] < 1.7 * FACE_PX
    account = json.loads(place.report.read_bytes())
    assert account["coverage"]["overall"] >= 0.9 and account["no_face"] == []
    assert account["ledger"]["counts"] == {"kept": len(sounds)}
