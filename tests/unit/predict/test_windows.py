"""A clip in windows: where each is, and that each has the answer that its span has alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.core.errors import DataError, UsageError
from foalnet.predict import ClipPrediction, Model, Request, staging
from foalnet.predict.answer import Unanswered
from foalnet.predict.windows import grouped, windows_of
from tests.support.corpus.stores import RATE_HZ
from tests.support.corpus.videos import ffmpeg, picture, write_video
from tests.support.models import model_of

FPS = 25


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 3.2 s with a moving picture, and sound."""
    folder = tmp_path_factory.mktemp("clips")
    noise_N = 0.1 * np.random.default_rng(3).standard_normal(round(3.2 * RATE_HZ))
    soundfile.write(folder / "voice.wav", noise_N, RATE_HZ)
    write_video(folder / "silent.avi", [picture(index) for index in range(80)], rate=str(FPS))
    ffmpeg("-i", str(folder / "silent.avi"), "-i", str(folder / "voice.wav"), "-c", "copy", str(folder / "whole.avi"))
    return folder / "whole.avi"


def answers(model: Model, clip: Path, **given: Any) -> list[ClipPrediction]:
    got = list(model.windows(Request(clip=clip, **given)))
    assert all(isinstance(one, ClipPrediction) for one in got)
    return got  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("span", "window_s", "step_s", "expected"),
    [
        ((0, 10), 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        ((0, 9), 4, 2, [(0, 4), (2, 6), (4, 8), (5, 9)]),
        ((0, 4), 4, 2, [(0, 4)]),
        ((0, 3), 4, 2, [(0, 3)]),
        ((0, 4.5), 4, 2, [(0, 4), (0.5, 4.5)]),
        ((1, 8), 2, 3, [(1, 3), (4, 6), (6, 8)]),
        ((0, 1), 0.4, 0.1, [(n / 10, n / 10 + 0.4) for n in range(7)]),
    ],
)
def test_windows_at_their_edges(
    span: tuple[float, float], window_s: float, step_s: float, expected: list[tuple[float, float]]
) -> None:
    got = windows_of(*span, window_s, step_s)
    assert got == [pytest.approx(each, abs=1e-9) for each in expected]
    assert [window for run in grouped(got, 2.0, 8.0) for window in run] == got


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"step_s": 1.0}, "no window"),
        ({"window_s": 0.0}, "window of 0 s"),
        ({"window_s": float("nan")}, "window of nan"),
        ({"window_s": 2.0, "step_s": 0.0}, "step of 0 s"),
        ({"window_s": 2.0, "step_s": 0.05}, "at least 0.1 s"),
        ({"window_s": 2.0, "text": "Well"}, "words"),
    ],
)
def test_windows_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Request(clip=Path("a.mp4"), **given)
    assert message in str(caught.value)


def test_a_window_beyond_the_models_limit_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"limit of 2 s"):
        list(model_of(tmp_path, max_s=2.0).windows(Request(clip=clip, window_s=2.5)))


@pytest.mark.parametrize("detector", ["fixed", "haar"])
@pytest.mark.parametrize("people", [1, 2])
def test_each_window_has_the_answer_of_its_span_alone(clip: Path, tmp_path: Path, detector: str, people: int) -> None:
    model = model_of(tmp_path, shards={"detector": detector})
    got = answers(model, clip, window_s=1.0, step_s=0.7, people=people)
    assert [one.start_s for one in got] == [each for each in (0.0, 0.7, 1.4, 2.1, 2.2) for _ in range(people)]
    for start_s in (0.0, 0.7, 2.2):
        alone = model.predict(clip, start_s=start_s, end_s=round(start_s + 1.0, 6), people=people)
        assert [one for one in got if one.start_s == start_s] == alone
    assert len({tuple(one.probabilities.values()) for one in got}) > people, "windows differ"


def test_a_short_clip_is_one_window_with_the_answer_of_the_clip(clip: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    (got,) = answers(model, clip, window_s=5.0)
    assert got.probabilities == model.predict(clip)[0].probabilities
    assert (got.start_s, got.end_s) == (0.0, pytest.approx(3.2, abs=0.01))


def test_windows_within_a_span_end_with_it_or_with_the_clip(clip: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    spans = [(one.start_s, one.end_s) for one in answers(model, clip, window_s=1.0, start_s=0.5, end_s=2.2)]
    assert spans == [(0.5, 1.5), (1.0, 2.0), (1.2, 2.2)]
    last = answers(model, clip, window_s=1.0, start_s=2.0, end_s=9.0)[-1]
    assert last.end_s == pytest.approx(3.2, abs=0.01)
    with pytest.raises(DataError, match=r"the clip ends at 3\.2"):
        list(model.windows(Request(clip=clip, window_s=1.0, start_s=4.0, end_s=9.0)))


def test_a_sound_given_with_windows_is_on_the_clips_timeline(clip: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    own = answers(model, clip, window_s=1.0)
    given = answers(model, clip.with_name("silent.avi"), window_s=1.0, sound=clip.with_name("voice.wav"))
    assert [one.probabilities for one in own] == [one.probabilities for one in given]


def test_a_window_without_anything_has_a_reason_and_stops_no_other(tmp_path: Path) -> None:
    wave_N = (0.1 * np.random.default_rng(3).standard_normal(3 * RATE_HZ)).astype(np.float32)
    wave_N[:RATE_HZ] = 0
    soundfile.write(tmp_path / "a.wav", wave_N, RATE_HZ)
    model = model_of(tmp_path / "model")
    first, *others = model.windows(Request(clip=tmp_path / "a.wav", window_s=1.0, step_s=1.0))
    assert isinstance(first, Unanswered) and (first.start_s, first.end_s) == (0.0, 1.0)
    assert "its sound is silent" in first.row()["error"]["what"]
    assert [one.start_s for one in others if isinstance(one, ClipPrediction)] == [1.0, 2.0]
    soundfile.write(tmp_path / "b.wav", wave_N[:RATE_HZ], RATE_HZ)
    with pytest.raises(DataError, match="silent"):
        list(model.windows(Request(clip=tmp_path / "b.wav", window_s=0.5)))


def test_a_clip_is_decoded_once_and_a_long_one_in_runs_of_windows(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    decode = media.decode_pictures

    def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        begun.append(1)
        return decode(*args, **kwargs)

    monkeypatch.setattr(media, "decode_pictures", counted)
    model = model_of(tmp_path, shards={"letterbox": False})
    whole = answers(model, clip, window_s=1.0)
    assert len(whole) == 6 and len(begun) == 1
    begun.clear()
    monkeypatch.setattr(staging, "TOGETHER_S", (1.0, 1.0))
    assert answers(model, clip, window_s=1.0) == whole and len(begun) == 3


def test_runs_of_windows_double_up_to_a_limit() -> None:
    minutes = [(60.0 * n, 60.0 * n + 4) for n in range(60)]
    assert [len(run) for run in grouped(minutes, 60.0, 900.0)] == [1, 2, 4, 8, 15, 15, 15]


def test_the_face_is_where_the_box_is(clip: Path, tmp_path: Path) -> None:
    (answer,) = model_of(tmp_path).predict(clip)
    (staged,) = model_of(tmp_path / "other").stage(Request(clip=clip))
    video = staged.sample.meta.video
    assert video is not None and answer.face is not None
    left, top, right, bottom = video.area
    box = video.boxes[0]
    assert answer.face.x == pytest.approx(((box[0] + box[2]) / 2 - left) / (right - left), abs=1e-3)
    assert answer.face.y == pytest.approx(((box[1] + box[3]) / 2 - top) / (bottom - top), abs=1e-3)
    assert answer.face.height == pytest.approx((box[3] - box[1]) / (bottom - top), abs=1e-3)
