"""A prediction notes that the training data were drawn, and in which quantities a clip is outside their ranges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from foalnet.artifact.model import FILE, read_model, seal
from foalnet.predict import Model, load
from foalnet.shards import VideoMeta
from foalnet.stages.final.ranges import DRAWN, outside, quantities, ranges_of
from tests.support.corpus.samples import meta_of
from tests.support.corpus.stores import RATE_HZ, make_store, sample_of
from tests.support.models import sealed_model

RANGES = {"loudness_dbfs": [-30.0, -20.0], "duration_s": [0.9, 2.0], "face_px": [60.0, 80.0]}


def trained_on(folder: Path, **data: Any) -> Model:
    """A model with facts about its training data in its card."""
    weights, content = read_model(sealed_model(folder))
    seal(folder / FILE, weights, replace(content, card=dict(content.card) | {"data": data}))
    return load(folder)


def wav(folder: Path, rms: float, seconds: float) -> Path:
    path = folder / f"{rms}-{seconds}.wav"
    wave_N = np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ))
    soundfile.write(path, (wave_N * rms / wave_N.std()).astype(np.float32), RATE_HZ, subtype="FLOAT")
    return path


def test_a_model_of_drawn_data_says_so_in_every_answer(tmp_path: Path) -> None:
    voice = wav(tmp_path, 0.05, 1.0)
    clip = next(iter(make_store(groups=3).store.clips.values()))
    for drawn in (True, False):
        model = trained_on(tmp_path / str(drawn), drawn=drawn, ranges={})
        [heard] = model.predict(voice)
        staged = model.predict_sample(sample_of(clip, "Session1"))
        assert (DRAWN in heard.notes) == (DRAWN in staged.notes) == drawn
    assert "real people" in DRAWN


@pytest.mark.parametrize(
    ("rms", "seconds", "says"),
    [
        (0.05, 1.0, []),
        (0.5, 1.0, ["louder than 99 % of the training data: -6."]),
        (0.001, 1.0, ["quieter than 99 % of the training data: -60.0 dBFS"]),
        (0.05, 0.5, ["shorter than 99 % of the training data: 0.5 s"]),
        (0.5, 3.0, ["longer than 99 % of the training data: 3.0 s, there 0.9 to 2.0", "louder than"]),
    ],
)
def test_sound_outside_of_the_training_data_is_said(
    tmp_path: Path, rms: float, seconds: float, says: list[str]
) -> None:
    [prediction] = trained_on(tmp_path, drawn=False, ranges=RANGES).predict(wav(tmp_path, rms, seconds))
    notes = [note for note in prediction.notes if "training data" in note]
    assert len(notes) == len(says) and all(note.startswith(start) for note, start in zip(notes, says, strict=True))


def test_a_face_outside_of_the_training_data_is_said() -> None:
    boxes = [[0.0, 0.0, 0.0, 0.0], [10.0, 10.0, 30.0, 40.0], [10.0, 10.0, 30.0, 42.0]]
    video = VideoMeta(
        times_s=[0.0, 0.1, 0.2], boxes=boxes, scores=[1.0] * 3, sources=["detected"] * 3, reasons=[""] * 3,
        area=[0, 0, 64, 48], face_offsets=[0] * 4, half_offsets=[0] * 4,
    )  # fmt: skip
    measured = quantities(meta_of("a", start_s=1.0, end_s=2.0, video=video), None)
    assert measured == {"duration_s": 1.0, "face_px": 31.0}
    assert outside(RANGES, measured) == [
        "its face is smaller than 99 % of the training data: 31.0 pixels high, there 60.0 to 80.0"
    ]
    assert outside(RANGES, {"face_px": 90.0})[0].startswith("its face is larger")
    # 2.0 s against a limit of 1.99 s, which is shown as 2.0.
    assert outside({"duration_s": [1.2, 1.99]}, {"duration_s": 2.0}) == []


def test_digital_silence_has_no_loudness_and_a_range_leaves_a_hundredth_out() -> None:
    assert quantities(meta_of("a"), np.zeros(100, np.float32)) == {"duration_s": 1.0}
    rows = [{"duration_s": float(i)} for i in range(1001)]
    assert ranges_of([*rows, {"face_px": 7.0}]) == {"duration_s": [10.0, 990.0], "face_px": [7.0, 7.0]}
