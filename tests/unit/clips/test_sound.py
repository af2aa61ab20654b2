"""The sound of a clip is read out of its container, wherever a sound file would be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.core.files import read_json
from foalnet.shards import Sample, open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import write_wav
from tests.support.corpus.videos import write_clip

CLASSES = {"neutral": ["neutral"], "angry": ["angry"]}
NEUTRAL, ANGRY = "01-01-01-01-01-01-01", "01-01-05-01-01-01-01"
# The lossy sound of a clip against itself, 16-bit steps.
STEPS = 2 / 32768


def place_of(home: Path, **shards: object) -> Place:
    """A place with RAVDESS clips of one actor in `home/root`."""
    params = Shards.model_validate({"detector": "fixed"} | shards)
    return Place(home=home, root=home / "root", reader="ravdess", classes=CLASSES, shards=params)


def staged(place: Place) -> dict[str, Sample]:
    place.stage()
    return {sample.key: sample for sample in open_shards(place.out).samples()}


def expected(clip: Path, folder: Path) -> np.ndarray:
    """The first track at 16 kHz."""
    media.extract_sound(clip, folder / "track.wav")
    return media.resample(*media.read_wave(folder / "track.wav"), 16000)


def test_a_clip_is_staged_with_its_own_sound_and_picture(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"root/Actor_01/{key}.mp4", seconds=1.0) for key in (NEUTRAL, ANGRY)]
    place = place_of(tmp_path)
    samples = staged(place)
    assert sorted(samples) == [NEUTRAL, ANGRY]
    for clip in clips:
        sample = samples[clip.stem]
        wave_N, rate_hz = sample.sound()
        assert rate_hz == 16000 and sample.meta.audio.reason == "audio_resampled"
        np.testing.assert_allclose(wave_N, expected(clip, tmp_path), atol=STEPS)
        assert sample.meta.video is not None and len(sample.meta.video.times_s) == 29
        assert all(sample.pictures("half"))
    assert not list((place.settings.work).rglob("track.wav")), "no extracted sound remains"


def test_shards_sound_chooses_between_the_sound_file_and_the_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / f"root/Actor_01/{NEUTRAL}.mp4", seconds=1.0)
    write_wav(tmp_path / f"root/Actor_01/03{NEUTRAL[2:]}.wav", 1.0, seed=3)
    write_clip(tmp_path / f"root/Actor_01/02{ANGRY[2:]}.mp4", sound=False)
    write_wav(tmp_path / f"root/Actor_01/03{ANGRY[2:]}.wav", 1.0, seed=4)
    key, mute = f"03{NEUTRAL[2:]}", f"03{ANGRY[2:]}"
    by_file, place = staged(place_of(tmp_path)), place_of(tmp_path, sound="clip")
    by_clip = staged(place)
    np.testing.assert_allclose(by_clip[key].sound()[0][:15000], expected(clip, tmp_path)[:15000], atol=STEPS)
    assert not np.allclose(by_file[key].sound()[0][:15000], by_clip[key].sound()[0][:15000], atol=0.01)
    np.testing.assert_array_equal(by_file[mute].sound()[0], by_clip[mute].sound()[0])
    assert read_json(place.report)["ledger"]["counts"]["kept/sound_of_clip"] == 1


@pytest.mark.parametrize("ending", ["mkv", "mov", "avi", "webm"])
def test_every_container_gives_its_sound_and_length(tmp_path: Path, ending: str) -> None:
    clip = write_clip(tmp_path / f"a.{ending}", seconds=1.0, size="64x48")
    assert abs(media.length_s(clip) - 1.0) < 0.1
    with media.sound_file(clip, tmp_path) as (path, _):
        info = media.probe_wave(path)
        assert abs(info.samples / info.rate_hz - 1.0) < 0.1
    assert [path.name for path in tmp_path.iterdir()] == [clip.name]


@pytest.mark.parametrize("content", [b"", b"not a clip at all", None])
def test_what_has_no_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    clip = tmp_path / "a.mp4"
    if content is None:
        write_clip(clip, sound=False)
    else:
        clip.write_bytes(content)
    with pytest.raises(media.AudioUnreadable) as caught, media.sound_file(clip, tmp_path):
        pass
    assert str(clip) in str(caught.value) and caught.value.action
