"""Each disturbance changes its own modality alone, always in the same way, and says where it can change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.config.probing import Probe
from foalnet.probe.disturb import disturbances, disturbed, late, missing, noisy, thinned, wrong_face
from foalnet.train.batches import Clip, Part
from tests.support.corpus.stores import RATE_HZ, blind, make_store

EVERY = disturbances(Probe(shift_s=0.1), RATE_HZ)
CLIPS = dict(make_store(groups=2, per_group=8).store.clips)
SPEAKERS = {key: f"S{place % 3}" for place, key in enumerate(CLIPS)}


def clip(values: list[float], frames: int = 4, *, key: str = "u") -> Clip:
    """A clip of these samples, with frames of one number: 1, 2, 3, ..."""
    pictures = np.arange(1, frames + 1, dtype=np.float32)[:, None]
    return Clip.of(
        key, wave_N=np.array(values, np.float32), frames=pictures, frame_mask_F=np.ones(frames, bool)
    ).put("text", Part(values=np.ones((2, 3), np.float32), mask_T=np.ones(2, bool)))  # fmt: skip


def same(a: Part, b: Part) -> bool:
    return np.array_equal(a.values, b.values) and np.array_equal(a.mask_T, b.mask_T)


def test_the_names_are_those_of_the_params() -> None:
    assert [one.name for one in EVERY] == [
        "noise, SNR 20 dB", "noise, SNR 10 dB", "noise, SNR 0 dB", "sound missing", "picture missing",
        "50 % of frames missing", "sound 0.1 s late", "wrong face",
    ]  # fmt: skip
    few = disturbances(Probe(snr_db=[5.0], frames_missing=0.25), RATE_HZ)
    assert [few[0].name, few[3].name] == ["noise, SNR 5 dB", "25 % of frames missing"]


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_a_disturbance_changes_its_modality_alone_and_is_the_same_each_time(one) -> None:  # type: ignore[no-untyped-def]
    changed, keys = disturbed(CLIPS, SPEAKERS, one)
    again, _ = disturbed(dict(reversed(CLIPS.items())), SPEAKERS, one)
    assert changed.keys() == CLIPS.keys() and len(keys) > len(CLIPS) / 2
    for key, before in CLIPS.items():
        after = changed[key]
        for modality in before.parts:
            alike = same(before.parts[modality], after.parts[modality])
            assert alike == (modality != one.modality or key not in keys), (key, modality)
            assert same(after.parts[modality], again[key].parts[modality])
            part, old = after.parts[modality], before.parts[modality]
            assert len(part.values) == len(part.mask_T) == len(old.mask_T) and part.values.dtype == old.values.dtype
            assert not part.values[~part.mask_T].any(), "a masked step is zero"


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_noise_has_the_power_that_the_ratio_says_and_differs_between_clips(snr_db: float) -> None:
    wave = np.sin(np.arange(4000) / 7).tolist()
    before = clip(wave)
    added = noisy(before, [], snr_db=snr_db, seed=1).parts["audio"].values - before.parts["audio"].values
    power = float((before.parts["audio"].values.astype(float) ** 2).mean())
    assert 10 * np.log10(power / float((added.astype(float) ** 2).mean())) == pytest.approx(snr_db, abs=1e-3)
    # White: neighbours say nothing of each other.
    assert abs(np.corrcoef(added[1:], added[:-1])[0, 1]) < 0.05
    for other in (noisy(clip(wave, key="v"), [], snr_db=snr_db, seed=1), noisy(before, [], snr_db=snr_db, seed=2)):
        assert abs(np.corrcoef(added, other.parts["audio"].values - before.parts["audio"].values)[0, 1]) < 0.1
    # The same noise at another level.
    louder = noisy(before, [], snr_db=snr_db - 20, seed=1).parts["audio"].values - before.parts["audio"].values
    assert np.allclose(louder, 10 * added, atol=1e-3)


def test_half_of_the_valid_frames_go_and_one_stays() -> None:
    gone = [int((~thinned(clip([1.0], n), [], share=0.5, seed=1).parts["video"].mask_T).sum()) for n in (1, 2, 3, 4, 9)]
    assert gone == [0, 1, 1, 2, 4]
    assert int((~thinned(clip([1.0], 10), [], share=0.7, seed=1).parts["video"].mask_T).sum()) == 7
    assert thinned(clip([1.0], 3), [], share=0.99, seed=1).has("video")
    # Frames that were masked before are not counted again.
    before = clip([1.0], 4)
    masked = before.put("video", Part(values=before.parts["video"].values, mask_T=np.array([True, False, True, False])))
    assert int(thinned(masked, [], share=0.5, seed=1).parts["video"].mask_T.sum()) == 1


def test_a_late_sound_is_moved_and_comes_back_at_the_start() -> None:
    moved = late(clip([1.0, 2.0, 3.0, 4.0]), [], samples=1)
    assert moved.parts["audio"].values.tolist() == [4.0, 1.0, 2.0, 3.0]
    before = clip([1.0, 2.0])
    assert late(before, [], samples=4) is before, "a whole turn changes nothing"


def test_another_face_is_cut_or_repeated_and_is_of_another_speaker() -> None:
    long, short = clip([1.0], 5, key="long"), clip([1.0], 2, key="short")
    assert wrong_face(long, [short], seed=1).parts["video"].values[:, 0].tolist() == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert wrong_face(short, [long], seed=1).parts["video"].values[:, 0].tolist() == [1.0, 2.0]
    number = {key: place for place, key in enumerate(CLIPS)}
    marked = {
        key: one.put("video", Part(values=np.full((3, 1), place, np.float32), mask_T=np.ones(3, bool)))
        for (key, one), place in zip(CLIPS.items(), number.values(), strict=True)
    }
    changed, keys = disturbed(marked, SPEAKERS, EVERY[-1])
    assert keys == CLIPS.keys()
    names = list(CLIPS)
    sources = {key: names[int(one.parts["video"].values[0, 0])] for key, one in changed.items()}
    assert all(SPEAKERS[source] != SPEAKERS[key] for key, source in sources.items()) and len(set(sources.values())) > 4


def test_where_nothing_can_be_changed_the_clip_is_returned() -> None:
    silent, dark = clip([1.0, -1.0]).silenced(), blind(clip([1.0, -1.0]))
    for same_one in (
        noisy(silent, [], snr_db=0.0, seed=1), missing(silent, [], modality="audio"), late(silent, [], samples=1)
    ):  # fmt: skip
        assert same_one is silent
    quiet = clip([0.0, 0.0])
    assert noisy(quiet, [], snr_db=0.0, seed=1) is quiet
    for same_one in (
        missing(dark, [], modality="video"), thinned(dark, [], share=0.5, seed=1), wrong_face(dark, [quiet], seed=1)
    ):  # fmt: skip
        assert same_one is dark
    # One speaker alone has no other face; a clip without a picture lends none.
    face = EVERY[-1]
    assert disturbed({"a": clip([1.0], key="a"), "b": clip([1.0], key="b")}, {"a": "S", "b": "S"}, face)[1] == set()
    assert disturbed({"u": clip([1.0]), "d": blind(clip([1.0], key="d"))}, {"u": "S", "d": "T"}, face)[1] == set()
