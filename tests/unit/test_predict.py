"""Prediction on a user's clips: existing modalities are used, missing ones are noted, unreadable files are named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError, UsageError
from foalnet.predict import Request
from tests.support.corpus.stores import RATE_HZ, make_store, sample_of
from tests.support.corpus.videos import ffmpeg, picture, write_avi
from tests.support.models import FACE_PX, model_of

FRAMES = 30


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """voice.wav, silent.avi, film.avi (both of them), long.wav, empty.wav, nan.wav, disguised.mp4, black.avi."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(1)

    def wav(name: str, seconds: float, subtype: str = "PCM_16", **nan: int) -> None:
        wave_N = (0.1 * generator.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)
        if nan:
            wave_N[nan["at"]] = np.nan
        soundfile.write(folder / name, wave_N, RATE_HZ, subtype=subtype)

    wav("voice.wav", 1.0)
    wav("long.wav", 3.0)
    wav("empty.wav", 0.0)
    wav("nan.wav", 1.0, "FLOAT", at=50)
    texture = generator.integers(0, 40, (480, 720, 1)).repeat(3, axis=2).astype(np.uint8)
    write_avi(folder / "silent.avi", [picture(i) // 2 + texture for i in range(FRAMES)])
    ffmpeg("-i", str(folder / "silent.avi"), "-i", str(folder / "voice.wav"), "-c", "copy", str(folder / "film.avi"))
    ffmpeg("-i", str(folder / "voice.wav"), "-c:a", "aac", str(folder / "voice.m4a"))
    (folder / "disguised.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{folder / 'film.avi'}\n#EXT-X-ENDLIST\n")
    write_avi(folder / "black.avi", [np.zeros((96, 128, 3), np.uint8)] * 5)
    return folder


def test_sound_and_picture_are_used_and_the_answer_is_a_distribution(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    [answer] = model.predict(clips / "film.avi")
    assert (answer.key, answer.side, answer.sound, answer.picture) == ("film", "whole", "found", "found")
    assert answer.frames.total == FRAMES and answer.frames.seen == FRAMES // 2
    assert math.isclose(sum(answer.probabilities.values()), 1.0, abs_tol=1e-5)
    assert answer.label == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    assert answer.notes == () and answer.preprocessing.startswith("differs: code")
    assert model.predict(clips / "film.avi") == [answer], "the same clip, the same digits"


def test_two_people_have_two_answers_and_each_half_its_own(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    left, right = model.predict(clips / "film.avi", people=2)
    assert (left.side, right.side) == ("left", "right") and left.probabilities != right.probabilities
    assert model.predict(clips / "film.avi", people=2, side="right") == [right]
    assert any("both people" in note for note in left.notes)


@pytest.mark.parametrize("name", ["voice.wav", "voice.m4a"])
def test_sound_alone_is_answered_with_the_picture_masked_and_said(clips: Path, tmp_path: Path, name: str) -> None:
    [answer] = model_of(tmp_path).predict(clips / name)
    assert (answer.sound, answer.picture, answer.frames.total) == ("found", "none", 0)
    assert answer.notes[0] == "no picture: the clip has none"
    assert any("without picture" in note and "do not hold" in note for note in answer.notes)


def test_a_model_of_text_takes_the_words_that_are_given(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path, "text_only")
    [answer] = model.predict(clips / "voice.wav", text="Well, no!")
    [other] = model.predict(clips / "silent.avi", text="What a lovely day.")
    assert (answer.sound, answer.picture, answer.text) == ("unused", "unused", "found")
    assert answer.probabilities != other.probabilities
    assert model.predict(clips / "silent.avi", text="Well, no!")[0].probabilities == answer.probabilities
    with pytest.raises(DataError, match="takes text") as caught:
        model.predict(clips / "voice.wav")
    assert caught.value.action


def test_picture_alone_is_answered_with_the_sound_masked_and_said(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    [answer] = model.predict(clips / "silent.avi")
    assert (answer.sound, answer.picture) == ("none", "found")
    assert any("without sound" in note for note in answer.notes)
    assert answer.probabilities != model.predict(clips / "film.avi")[0].probabilities


def test_a_sense_that_the_variant_lacks_is_unused_and_has_no_say(clips: Path, tmp_path: Path) -> None:
    hears, sees = model_of(tmp_path / "a", "audio_only"), model_of(tmp_path / "v", "video_only")
    [both], [voice] = hears.predict(clips / "film.avi"), hears.predict(clips / "voice.wav")
    assert both.picture == "unused" and both.probabilities == voice.probabilities and both.notes == ()
    [both], [silent] = sees.predict(clips / "film.avi"), sees.predict(clips / "silent.avi")
    assert both.sound == "unused" and both.probabilities == silent.probabilities and both.notes == ()


@pytest.mark.parametrize(
    ("variant", "name", "message"),
    [
        ("audio_only", "silent.avi", "the clip has picture; the model takes sound"),
        ("video_only", "voice.wav", "the clip has sound; the model takes picture"),
        ("foal", "empty.wav", "no length"),
        ("foal", "nan.wav", "audio_nonfinite"),
        ("foal", "nowhere.mp4", "there is no such file"),
        ("foal", "disguised.mp4", "a playlist"),
    ],
)
def test_a_clip_that_cannot_be_answered_is_an_error_that_says_what_to_do(
    clips: Path, tmp_path: Path, variant: str, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        model_of(tmp_path, variant).predict(clips / name)
    assert caught.value.action and name in str(caught.value.file)


def test_a_picture_without_a_face_is_said_and_never_a_guess(clips: Path, tmp_path: Path) -> None:
    haar = {"detector": "haar"}
    with pytest.raises(DataError, match="no face was found"):
        model_of(tmp_path / "v", "video_only", shards=haar).predict(clips / "black.avi")
    with pytest.raises(DataError, match="no face was found"):
        model_of(tmp_path / "f", shards=haar).predict(clips / "black.avi")
    [heard] = model_of(tmp_path / "g", shards=haar).predict(clips / "black.avi", sound=clips / "voice.wav")
    assert heard.picture == "none" and heard.notes[0] == "no picture: no face was found in 5 frames"
    assert heard.frames.missing == heard.frames.total == 5


def test_a_span_is_what_a_cut_file_would_be(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    soundfile.write(tmp_path / "cut.wav", soundfile.read(clips / "long.wav")[0][8000:24000], RATE_HZ)
    [whole], [span] = model.predict(tmp_path / "cut.wav"), model.predict(clips / "long.wav", start_s=0.5, end_s=1.5)
    assert whole.probabilities == span.probabilities
    [track] = model.predict(clips / "film.avi", start_s=0.2, end_s=0.8)
    [given] = model.predict(clips / "film.avi", start_s=0.2, end_s=0.8, recording=clips / "voice.wav")
    assert track.probabilities == given.probabilities, "the container's own track is the wav that was put into it"
    with pytest.raises(DataError, match="span of time"):
        model.predict(clips / "long.wav", start_s=30, end_s=31)


def test_a_long_clip_is_cut_as_training_cuts_it_and_said(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path, max_s=2.0)
    [answer] = model.predict(clips / "long.wav")
    assert any("3.00 s to 2 s" in note for note in answer.notes)
    [first] = model.predict(clips / "long.wav", start_s=0, end_s=2)
    assert answer.probabilities == first.probabilities


def test_a_long_video_is_cut_with_a_note(clips: Path, tmp_path: Path) -> None:
    [answer] = model_of(tmp_path, max_s=0.5).predict(clips / "film.avi")
    assert [note for note in answer.notes if "s to 0.5 s" in note]
    assert answer.frames.total < 20


def test_a_model_has_its_own_classes_whatever_the_project_says(clips: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path, classes=("calm", "fearful"))
    assert model.classes == ("calm", "fearful") and model.card == {"licence": "none"}
    assert set(model.predict(clips / "voice.wav")[0].probabilities) == {"calm", "fearful"}


def test_a_model_of_feature_tables_hears_a_clip_and_says_why_it_does_not_see(clips: Path, tmp_path: Path) -> None:
    [answer] = model_of(tmp_path / "f", frame=(6,)).predict(clips / "film.avi")
    assert (answer.sound, answer.picture) == ("found", "none")
    assert "tables of features" in answer.notes[0]
    with pytest.raises(DataError, match="tables of features only"):
        model_of(tmp_path / "v", "video_only", frame=(6,)).predict(clips / "film.avi")


def test_a_staged_sample_is_answered_and_one_of_other_pictures_refused(tmp_path: Path) -> None:
    clip = next(iter(make_store(groups=3).store.clips.values()))
    answer = model_of(tmp_path / "a", frame_step=1).predict_sample(sample_of(clip, "Session1"))
    assert (
        answer.key == clip.key
        and answer.frames.seen == len(clip.parts["video"].values)
        and answer.preprocessing == "same"
    )
    with pytest.raises(DataError, match=rf"\[3, {FACE_PX}, {FACE_PX}\].*\[3, 8, 8\]"):
        model_of(tmp_path / "b", frame=(3, 8, 8)).predict_sample(sample_of(clip, "Session1"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"people": 3}, "people is 3"),
        ({"side": "middle", "people": 2}, "side is 'middle'"),
        ({"side": "left"}, "one person"),
        ({"start_s": 1.0}, "one of them is missing"),
        ({"start_s": 2.0, "end_s": 1.0}, "not a span of time"),
        ({"start_s": 0.0, "end_s": math.nan}, "not a span of time"),
        ({"face": "table"}, "face is 'table'"),
        ({"recording": Path("a.wav")}, "needs start and end"),
        ({"recording": Path("a.wav"), "sound": Path("b.wav"), "start_s": 0.0, "end_s": 1.0}, "both a sound"),
    ],
)
def test_a_request_that_contradicts_itself_ends_with_2(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Request(clip=Path("a.mp4"), **wrong)
    assert caught.value.action


def test_a_sound_for_a_sound_is_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sound file itself"):
        model_of(tmp_path).predict(clips / "voice.wav", sound=clips / "long.wav")


@given(start_s=st.floats(), end_s=st.floats())
def test_every_request_that_is_accepted_has_a_span_of_time(start_s: float, end_s: float) -> None:
    try:
        request = Request(clip=Path("a.mp4"), start_s=start_s, end_s=end_s)
    except UsageError:
        return
    assert request.start_s is not None and request.end_s is not None
    assert 0 <= request.start_s < request.end_s < math.inf
