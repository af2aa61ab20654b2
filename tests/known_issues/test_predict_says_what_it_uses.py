"""`foalnet predict` names the file, what it has and what to do next, and ignores no option in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import foalnet.clips.pictures
import foalnet.media.container as container
from foalnet.artifact.model import FILE, read_model, seal
from foalnet.core.errors import DataError, FoalnetError, UsageError
from foalnet.predict import Model, Request, load
from foalnet.predict.request import check_files
from tests.support.corpus.videos import ffmpeg, numbered_video
from tests.support.models import model_of, sealed_model

RATE_HZ = 16000
FRAMES = 25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mute.avi is one second without sound, both.avi with two channels; stereo.wav is one second, long.wav three."""
    folder = tmp_path_factory.mktemp("clips")
    wave_NC = np.random.default_rng(0).normal(0, 0.1, (3 * RATE_HZ, 2))
    soundfile.write(folder / "stereo.wav", wave_NC[:RATE_HZ], RATE_HZ, subtype="PCM_16")
    soundfile.write(folder / "mono.wav", wave_NC[:RATE_HZ, 0], RATE_HZ, subtype="PCM_16")
    soundfile.write(folder / "long.wav", wave_NC[:, 0], RATE_HZ, subtype="PCM_16")
    numbered_video(folder / "mute.avi", FRAMES, rate="25")
    for name, sound in (("both", "stereo"), ("apart", "long")):
        inputs = ("-i", str(folder / "mute.avi"), "-i", str(folder / f"{sound}.wav"))
        ffmpeg(*inputs, "-c", "copy", str(folder / f"{name}.avi"))
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    place = tmp_path_factory.mktemp("models")
    return {variant: model_of(place / variant, variant) for variant in ("foal", "audio_only", "video_only")}


def refused(model: Model, clip: Path, **options: Any) -> FoalnetError:
    """The error of a clip, as the verb meets it."""
    with pytest.raises((DataError, UsageError)) as caught:
        request = Request(clip=clip, **options)
        check_files(request)
        model.answer(request)
    return caught.value


@pytest.mark.parametrize("size", [5, 12, 30, 44])
def test_a_wav_that_ends_in_its_header_is_named_with_its_size(
    folder: Path, tmp_path: Path, models: dict[str, Model], size: int
) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes((folder / "mono.wav").read_bytes()[:size])
    error = refused(models["audio_only"], cut)
    assert error.file == str(cut) and str(error.action).startswith("give a ")
    has = f"{size} bytes" if size < 44 else "holds none of the 16,000 samples that its header declares"
    assert has in error.what and "until then" not in str(error)
    if size > 5:
        error = refused(models["foal"], folder / "mute.avi", sound=cut)
        assert error.file == str(cut), "the sound is at fault, not the clip"


def test_a_wav_that_is_shorter_than_its_header_says_is_noted(
    folder: Path, tmp_path: Path, models: dict[str, Model]
) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes((folder / "mono.wav").read_bytes()[: 44 + 2 * 12_000])
    [answer] = models["audio_only"].predict(cut)
    assert answer.notes == (
        "sound: the sound file is shorter than its header states; the existing part is used (12000 of 16000 samples)",
    )


@pytest.mark.parametrize(
    ("clip", "options", "what", "action"),
    [
        ("stereo.wav", {"channel": "3"}, "2 channel(s), no channel 3", "channel mean, or a number from 1 to 2"),
        ("both.avi", {"channel": 3}, "2 channel(s), no channel 3", "channel mean, or a number from 1 to 2"),
        ("mono.wav", {"channel": "right"}, "1 channel(s), no channel 2", "choose the channel mean"),
        ("mute.avi", {"channel": "right"}, "no sound, so it has no channel to choose", "leave channel out"),
        ("mute.avi", {"track": 1}, "no sound, so it has no track to choose", "leave track out"),
        ("both.avi", {"track": 2}, "1 sound track(s), no track 2", "leave track out"),
        ("mono.wav", {"track": 2}, "1 sound track(s), no track 2", "leave track out"),
    ],
)
@pytest.mark.parametrize("variant", ["foal", "audio_only"])
def test_a_choice_that_the_clip_does_not_have_is_refused(
    folder: Path, models: dict[str, Model], variant: str, clip: str, options: dict[str, Any], what: str, action: str
) -> None:
    error = refused(models[variant], folder / clip, **options)
    assert error.exit_code == 3 and error.file == str(folder / clip)
    assert what in error.what and action in str(error.action)


def test_of_another_sound_the_other_file_is_named(folder: Path, models: dict[str, Model]) -> None:
    error = refused(models["foal"], folder / "mute.avi", sound=folder / "stereo.wav", channel=3)
    assert error.file == str(folder / "stereo.wav") and "no channel 3" in error.what


@pytest.mark.parametrize("options", [{"channel": 1}, {"track": 1}, {"sound": "stereo.wav"}])
def test_a_model_that_hears_nothing_takes_no_choice_of_sound(
    folder: Path, models: dict[str, Model], options: dict[str, Any]
) -> None:
    options = {name: folder / value if name == "sound" else value for name, value in options.items()}
    error = refused(models["video_only"], folder / "both.avi", **options)
    assert error.exit_code == 2 and f"leave {next(iter(options))} out" in error.what


def test_what_is_used_of_sound_and_picture_is_noted_and_judged(
    folder: Path, tmp_path: Path, models: dict[str, Model]
) -> None:
    note = "sound and picture end apart: 3.00 s of sound and 1.00 s of picture are used"
    assert note in models["foal"].predict(folder / "apart.avi")[0].notes
    assert note in models["foal"].predict(folder / "mute.avi", sound=folder / "long.wav")[0].notes
    weights, content = read_model(sealed_model(tmp_path))
    for low, high, says in ((2.0, 4.0, None), (0.5, 2.0, "longer than 99 % of the training data: 3.0 s")):
        card = dict(content.card) | {"data": {"ranges": {"duration_s": [low, high]}}}
        seal(tmp_path / FILE, weights, replace(content, card=card))
        notes = [note for note in load(tmp_path).predict(folder / "apart.avi")[0].notes if "training data" in note]
        assert [note.startswith(str(says)) for note in notes] == [True] * (says is not None)


def test_a_clip_beyond_the_limits_is_named_with_both_numbers_and_a_remedy_for_a_clip(
    folder: Path, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 128 x 96 pixels: no side is too long.
    monkeypatch.setattr(container, "MAX_AREA_PX", 10_000)
    error = refused(models["foal"], folder / "mute.avi")
    assert error.what == (
        "the clip is beyond the limits: its picture is 128 x 96 pixels, 12,288; the limits are 8,192 a side and 10,000 "
        "in all"
    )
    assert "corpus" not in str(error) and "ffmpeg -i CLIP -vf scale=" in str(error.action)
    assert (error.exit_code, error.file) == (3, str(folder / "mute.avi"))


def test_a_span_of_too_many_frames_has_the_remedy_of_a_clip(
    folder: Path, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foalnet.clips.pictures, "MAX_OPEN_BYTES", 1000)
    error = refused(models["foal"], folder / "both.avi", start_s=0.0, end_s=0.9)
    assert error.file == str(folder / "both.avi") and "start and end" in str(error.action)
    assert "params" not in str(error) and "shards." not in str(error)
