"""Sound that is missing, short, odd or broken (T31 to T39): a repair or a drop with a reason, the rest untouched."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.shards import open_shards
from foalnet.train.batches import load_store
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import make_params
from tests.support.corpus.trees import RATE_HZ, clips_tree, sound
from tests.support.marks import red_when

DIALOGUE = "Ses01F_impro01"
KEY = f"{DIALOGUE}_F000"
START, END = 0.31, 1.20
SENTENCE = f"Session1/sentences/wav/{DIALOGUE}/{KEY}.wav"
RECORDING = f"Session1/dialog/wav/{DIALOGUE}.wav"
# Each has an utterance left where the first one is lost.
LEFT = {"calm": ["neu", "xxx"], "angry": ["ang"]}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_tree(tmp_path_factory.mktemp("tree"), [DIALOGUE])


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Place:
    shutil.copytree(original, tmp_path / "root")
    return Place(home=tmp_path, root=tmp_path / "root", shards=Shards(detector="fixed", max_drop_fraction=0.4))


def staged(place: Place) -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """Stage and return key -> (audio metadata, wave)."""
    place.stage()
    got = {}
    for sample in open_shards(place.out).samples():
        wave_N, rate_hz = media.read_flac(sample.members["flac"])
        assert rate_hz == RATE_HZ
        got[sample.key] = (json.loads(sample.members["json"])["audio"], wave_N)
    return got


def lines(place: Place) -> list[tuple[str, str, str]]:
    """Return (kind, item, reason) of the account."""
    entries = json.loads(place.report.read_bytes())["ledger"]["entries"]
    return [(e["kind"], e["item"], e["reason"]) for e in entries]


def details(place: Place) -> dict[str, str]:
    """Return reason -> detail of the account."""
    return {e["reason"]: e["detail"] for e in json.loads(place.report.read_bytes())["ledger"]["entries"]}


def relabel(place: Place, suffix: str, start: float, end: float) -> None:
    """Give an utterance's label line other times."""
    path = place.root / f"Session1/dialog/EmoEvaluation/{DIALOGUE}.txt"
    text = re.sub(
        rf"\[[^\]]*\]\t{DIALOGUE}_{suffix}", f"[{start:.4f} - {end:.4f}]\t{DIALOGUE}_{suffix}", path.read_text()
    )
    path.write_text(text)


def others_are_untouched(got: dict[str, tuple[dict[str, Any], np.ndarray]]) -> bool:
    """Tell whether the two other utterances are unchanged."""
    wanted = {f"{DIALOGUE}_M000": sound(1, 2.02 - 1.05), f"{DIALOGUE}_F001": sound(2, 2.6 - 2.1)}
    return all(np.array_equal(got[key][1], wave_N) and got[key][0]["reason"] == "" for key, wave_N in wanted.items())


@red_when("clips/sound.py", "the cut is one sample late")
def test_t31_missing_wav_is_cut_from_the_dialogue_to_the_sample(place: Place) -> None:
    (place.root / SENTENCE).unlink()
    got = staged(place)
    audio, wave_N = got[KEY]
    assert audio["reason"] == "wav_from_dialogue"
    both_N = (sound(900, 2.8).astype(np.float64) + sound(950, 2.8)) / 2
    cut_N = both_N[round(START * RATE_HZ) : round(END * RATE_HZ)]
    assert wave_N.size == round(END * RATE_HZ) - round(START * RATE_HZ)
    assert np.abs(wave_N - cut_N).max() <= 1 / 32768
    assert lines(place) == [("repaired", KEY, "wav_from_dialogue")]
    assert others_are_untouched(got)


@red_when("corpora/iemocap/__init__.py", "sound that is nowhere is not looked for")
def test_t31_missing_in_both_places_is_no_utterance(place: Place) -> None:
    (place.root / SENTENCE).unlink()
    (place.root / RECORDING).unlink()
    place = replace(place, classes=LEFT)
    got = staged(place)
    assert set(got) == {f"{DIALOGUE}_M000", f"{DIALOGUE}_F001"} and others_are_untouched(got)
    # The manifest refuses it first, with a reason; staging says how many it did not get.
    counts = json.loads((place.home / "reports/counts.json").read_bytes())
    assert {"wav_missing"} == {e["reason"] for e in counts["entries"] if e["item"] == KEY}
    assert json.loads(place.report.read_bytes())["utterances"]["not_staged"] == 1


@red_when("clips/sound.py", "only longer sound is counted")
@pytest.mark.parametrize(
    ("samples", "counted"),
    [(-1, False), (1, False), (-320, False), (-321, True), (321, True), (-7120, True)],
)
def test_t32_wav_shorter_or_longer_than_its_label(place: Place, samples: int, counted: bool) -> None:
    wave_N = sound(0, 1.2)[: round((END - START) * RATE_HZ) + samples]
    soundfile.write(place.root / SENTENCE, wave_N, RATE_HZ, subtype="PCM_16")
    got = staged(place)
    assert np.array_equal(got[KEY][1], wave_N), "the sentence is used as it is, whatever its label says"
    assert lines(place) == ([("kept", KEY, "length_differs")] if counted else [])
    assert others_are_untouched(got)


@red_when("clips/sound.py", "the promise is not counted")
@pytest.mark.parametrize("left", [8000, 14140])
def test_t33_header_promises_more_sound_than_there_is(place: Place, left: int) -> None:
    path = place.root / SENTENCE
    path.write_bytes(path.read_bytes()[: 44 + 2 * left])
    got = staged(place)
    assert np.array_equal(got[KEY][1], sound(0, END - START)[:left])
    # Cut by 6 ms it is as long as its label for all that staging minds; the file says all the same that it is cut.
    wanted = [("kept", KEY, "wav_truncated")]
    assert lines(place) == ([("kept", KEY, "length_differs"), *wanted] if left == 8000 else wanted)
    assert details(place)["wav_truncated"] == f"{left} of 14240 samples"
    assert others_are_untouched(got)


def _eight_khz(path: Path, wave_N: np.ndarray) -> None:
    soundfile.write(path, media.resample(wave_N, RATE_HZ, 8000), 8000, subtype="PCM_U8")


def _cd(path: Path, wave_N: np.ndarray) -> None:
    soundfile.write(path, media.resample(wave_N, RATE_HZ, 44100), 44100, subtype="PCM_24")


def _stereo(path: Path, wave_N: np.ndarray) -> None:
    # Their mean is the wave; neither channel is.
    soundfile.write(path, np.stack([1.5 * wave_N, 0.5 * wave_N], axis=1), RATE_HZ, subtype="PCM_16")


def _stereo_eight_khz(path: Path, wave_N: np.ndarray) -> None:
    wave_N = media.resample(wave_N, RATE_HZ, 8000)
    soundfile.write(path, np.stack([1.5 * wave_N, 0.5 * wave_N], axis=1), 8000, subtype="FLOAT")


NOTES = {
    _eight_khz: ["from 8000 Hz"],
    _cd: ["from 44100 Hz"],
    _stereo: ["2 channels averaged"],
    _stereo_eight_khz: ["2 channels averaged", "from 8000 Hz"],
}


@red_when("media/audio.py", "the first channel stands for all")
@red_when("clips/sound.py", "averaged channels leave no note")
@pytest.mark.parametrize("write", NOTES)
def test_t34_other_rates_and_channels_are_brought_to_one_with_a_note(place: Place, write: Callable[..., None]) -> None:
    time_N = np.arange(round((END - START) * RATE_HZ)) / RATE_HZ
    tone_N = (0.4 * np.sin(2 * np.pi * 440 * time_N)).astype(np.float32)
    write(place.root / SENTENCE, tone_N)
    got = staged(place)
    audio, wave_N = got[KEY]
    assert audio["reason"] == "audio_resampled" and abs(wave_N.size - tone_N.size) <= 1
    middle = slice(2000, 12000)
    assert np.abs(wave_N[middle] - tone_N[middle]).max() < 0.01
    assert lines(place) == [("repaired", KEY, "audio_resampled")] * len(NOTES[write])
    rows = json.loads(place.report.read_bytes())["ledger"]["entries"]
    assert [row["detail"] for row in rows] == NOTES[write]
    assert others_are_untouched(got)


@red_when("media/audio.py", "samples are read as whole numbers of 16 bits")
@pytest.mark.parametrize("encoding", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_t34_another_encoding_is_the_same_sound_and_no_repair(place: Place, encoding: str) -> None:
    wave_N = sound(0, END - START)
    soundfile.write(place.root / SENTENCE, wave_N, RATE_HZ, subtype=encoding)
    got = staged(place)
    assert np.array_equal(got[KEY][1], wave_N) and got[KEY][0]["reason"] == ""
    assert lines(place) == [] and others_are_untouched(got)


@red_when("media/audio.py", "NaN and infinite samples are not looked for")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_t35_nan_or_infinite_sound_is_dropped(place: Place, bad: float) -> None:
    wave_N = sound(0, END - START)
    wave_N[700] = bad
    soundfile.write(place.root / SENTENCE, wave_N, RATE_HZ, subtype="FLOAT")
    got = staged(place)
    assert KEY not in got and others_are_untouched(got)
    assert lines(place) == [("dropped", KEY, "audio_nonfinite")]
    assert details(place)["audio_nonfinite"].endswith("the first at 0.044 s")
    assert json.loads(place.report.read_bytes())["utterances"] == {"staged": 2, "dropped": 1, "not_staged": 0}


def test_an_unreadable_wav_is_dropped_not_replaced(place: Place) -> None:
    (place.root / SENTENCE).write_bytes(b"RIFF")
    got = staged(place)
    assert KEY not in got and others_are_untouched(got)
    assert lines(place) == [("dropped", KEY, "wav_unreadable")]


@red_when("clips/sound.py", "399 samples are taken for long enough")
@pytest.mark.parametrize(("samples", "padded"), [(399, True), (400, False), (401, False), (640, False), (1, True)])
def test_t38_short_clips_are_padded_to_the_minimum(place: Place, samples: int, padded: bool) -> None:
    wave_N = sound(5, 1.0)[:samples]
    soundfile.write(place.root / SENTENCE, wave_N, RATE_HZ, subtype="PCM_16")
    audio, got_N = staged(place)[KEY]
    assert got_N.size == max(samples, 400) and np.array_equal(got_N[:samples], wave_N) and not got_N[samples:].any()
    # One sample alone says nothing.
    assert audio["reason"] == ("sound_silent" if samples == 1 else "audio_padded" if padded else "")
    assert (("repaired", KEY, "audio_padded") in lines(place)) == padded


@red_when("clips/sound.py", "a silent sound gets no reason")
@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_t36_a_silent_or_constant_sound_is_kept_as_it_is_and_masked(place: Place, level: float) -> None:
    wave_N = np.full(round((END - START) * RATE_HZ), level, np.float32)
    soundfile.write(place.root / SENTENCE, wave_N, RATE_HZ, subtype="PCM_16")
    got = staged(place)
    assert np.array_equal(got[KEY][1], wave_N) and got[KEY][0]["reason"] == "sound_silent"
    assert lines(place) == [("kept", KEY, "sound_silent")] and others_are_untouched(got)


@red_when("clips/sound.py", "the clamp is not counted")
@red_when("clips/sound.py", "clamped up to 0 s")
@pytest.mark.parametrize(("beyond_s", "counted"), [(0.010, []), (0.500, [("kept", KEY, "length_differs")])])
def test_t37_an_end_a_little_behind_the_recording_is_clamped_and_counted(
    place: Place, beyond_s: float, counted: list[tuple[str, str, str]]
) -> None:
    (place.root / SENTENCE).unlink()
    relabel(place, "F000", 2.2, 2.8 + beyond_s)
    got = staged(place)
    both_N = (sound(900, 2.8).astype(np.float64) + sound(950, 2.8)) / 2
    audio, wave_N = got[KEY]
    assert wave_N.size == round(2.8 * RATE_HZ) - round(2.2 * RATE_HZ) and audio["reason"] == "wav_from_dialogue"
    assert np.abs(wave_N - both_N[round(2.2 * RATE_HZ) :]).max() <= 1 / 32768
    # Picture and sound end together: its slots go on, masked, to the label's end.
    repairs = [("repaired", KEY, "segment_clamped"), ("repaired", KEY, "wav_from_dialogue")]
    assert lines(place) == [*counted, ("kept", KEY, "video_truncated"), *repairs] and others_are_untouched(got)
    assert details(place)["segment_clamped"] == f"the label ends {beyond_s:.3f} s behind the recording"


@red_when("clips/sound.py", "whatever is left of a segment is used")
@red_when("clips/sound.py", "a segment without a sample is not looked for")
@pytest.mark.parametrize(("start", "end"), [(2.2, 12.8), (2.2, 3.31), (2.8, 2.9), (30.0, 31.0)])
def test_t37_an_end_far_behind_the_recording_is_dropped_and_counted(place: Place, start: float, end: float) -> None:
    (place.root / SENTENCE).unlink()
    relabel(place, "F000", start, end)
    place = replace(place, classes=LEFT)
    got = staged(place)
    assert KEY not in got and others_are_untouched(got)
    assert lines(place) == [("dropped", KEY, "segment_invalid")]
    assert details(place)["segment_invalid"] == f"its label ends {end - 2.8:.3f} s behind the recording"
    assert json.loads(place.report.read_bytes())["utterances"]["dropped"] == 1


@red_when("train/batches/store.py", "sound is not cut")
@red_when("train/batches/store.py", "pictures are not cut")
def test_t39_a_minute_is_cut_to_max_s_in_sound_and_picture_and_counted(place: Place) -> None:
    soundfile.write(place.root / SENTENCE, sound(7, 60.0), RATE_HZ, subtype="PCM_16")
    relabel(place, "F000", START, START + 60.0)
    got = staged(place)
    assert got[KEY][1].size == 60 * RATE_HZ, "a shard holds all of it; max_s is training's"
    store = load_store(open_shards(place.out), list(got), make_params(max_s=10.0, frame_step=6))
    clip = store.clips[KEY]
    assert np.array_equal(clip.parts["audio"].values, sound(7, 60.0)[: 10 * RATE_HZ])
    assert len(clip.parts["video"].values) == len(clip.parts["video"].mask_T) == -(-10 * 30000 // 1001 // 6)
    assert [(e.kind, e.item, e.reason, e.detail) for e in store.ledger.entries] == [
        ("repaired", KEY, "audio_truncated", "60.00 s to 10 s")
    ]


def test_too_many_drops_are_an_error_after_the_account_is_written(place: Place) -> None:
    (place.root / SENTENCE).write_bytes(b"no sound")
    strict = Place(home=place.home, root=place.root)
    with pytest.raises(DataError, match=r"1 of 3 utterances have no usable sound .wav_unreadable 1.") as caught:
        strict.stage()
    assert caught.value.exit_code == 3 and str(place.report) in str(caught.value)
    assert lines(place) == [("dropped", KEY, "wav_unreadable")]
    assert not place.out.exists()


def test_every_sound_dropped_is_an_error_whatever_the_limit(place: Place) -> None:
    for wav in place.root.glob("Session1/sentences/wav/*/*.wav"):
        wav.write_bytes(b"no sound")
    with pytest.raises(DataError, match="3 of 3"):
        Place(home=place.home, root=place.root, shards=Shards(detector="fixed", max_drop_fraction=1.0)).stage()
