"""Silent sound is not used as sound: it is masked or dropped, counted, and reported by predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from foalnet import media
from foalnet.clips.dialogue import stage_samples
from foalnet.clips.plan import Job
from foalnet.config.blocks import AudioEncoder, Shards, Train
from foalnet.core.errors import DataError
from foalnet.core.ledger import Ledger
from foalnet.corpora.inventory import FileEntry
from foalnet.media.mono import CLIPPED
from foalnet.methods import build_net
from foalnet.nets import InputShape
from foalnet.shards import Sample
from foalnet.train.batches import Clip, collate, read_clip
from tests.support.corpus.rows import utterance
from tests.support.corpus.videos import ffmpeg, picture, write_avi
from tests.support.models import model_of

RATE_HZ = 16000
N = RATE_HZ


def voice(amplitude: float = 0.1, seed: int = 0) -> np.ndarray:
    """A second of noise that swells like syllables."""
    noise_N = np.random.default_rng(seed).normal(0.0, 1.0, N)
    return amplitude * noise_N * (0.6 + 0.4 * np.sin(np.arange(N) / 800))


SILENT = {
    "zeros": np.zeros(N),
    "constant": np.full(N, 0.25),
    "dither": np.random.default_rng(1).integers(-1, 2, N) / 32768,
    "stereo zeros": np.zeros((N, 2)),
}


def staged(folder: Path, wave: np.ndarray, **params: Any) -> tuple[list[Sample], list[tuple[str, str, str]]]:
    """Stage one utterance with `wave` as its sound; return its samples and the ledger's (kind, reason, detail)."""
    path = folder / "u.wav"
    soundfile.write(path, wave, RATE_HZ, subtype="FLOAT" if np.abs(wave).max() > 1 else "PCM_16")
    u = utterance("u", side="whole", label="neutral", audio="u.wav")
    files = {"u.wav": FileEntry(path="u.wav", size=0, sha256="", role="audio")}
    job = Job(
        corpus="c", reader="iemocap", session="s", dialogue="d", utterances=(u,), files=files, tables=(),
        params=Shards(**params), key="",
    )  # fmt: skip
    ledger = Ledger()
    samples, *_ = stage_samples(job, root=folder, detector=None, timeout_s=60.0, ledger=ledger)
    return samples, [(e.kind, e.reason, e.detail) for e in ledger.entries if e.reason != "video_missing"]


@pytest.mark.parametrize("kind", SILENT)
def test_silence_is_masked_or_dropped_as_the_param_says(tmp_path: Path, kind: str) -> None:
    [sample], rows = staged(tmp_path, SILENT[kind])
    assert ("kept", "sound_silent", "masked: the network hears nothing of it") in rows
    assert json.loads(sample.members["json"])["audio"]["reason"] == "sound_silent"
    clip, _ = read_clip(sample, Train(), Ledger())
    assert not clip.has("audio")
    samples, rows = staged(tmp_path, SILENT[kind], silent_sound="drop")
    assert samples == [] and rows == [("dropped", "sound_silent", "")]


@pytest.mark.parametrize("wave_N", [voice(), voice(0.0005), np.pad(voice()[:1000], (0, N - 1000))])
def test_quiet_and_short_speech_is_heard(tmp_path: Path, wave_N: np.ndarray) -> None:
    [sample], rows = staged(tmp_path, wave_N)
    assert rows == [("kept", "", "")] and read_clip(sample, Train(), Ledger())[0].has("audio")


def test_channels_that_cancel_each_other_are_not_averaged(tmp_path: Path) -> None:
    wave_N = voice()
    [sample], rows = staged(tmp_path, np.stack([wave_N, -1.2 * wave_N], axis=1))
    assert rows == [("repaired", "channels_cancelled", "channel 2 of 2")]
    heard_N, _ = media.read_flac(sample.members["flac"])
    np.testing.assert_allclose(heard_N, -1.2 * wave_N, atol=2 / 32768)


@pytest.mark.parametrize(
    ("name", "second_N"),
    [
        ("the same", voice()),
        ("another voice", voice(seed=5)),
        ("nothing", np.zeros(N)),
        ("near", voice() + voice(0.02, 5)),
    ],
)
def test_other_channels_are_averaged_as_before(tmp_path: Path, name: str, second_N: np.ndarray) -> None:
    wave_NC = np.stack([voice(), second_N], axis=1)
    [sample], rows = staged(tmp_path, wave_NC)
    assert rows == [("repaired", "audio_resampled", "2 channels averaged")]
    np.testing.assert_allclose(media.read_flac(sample.members["flac"])[0], wave_NC.mean(axis=1), atol=2 / 32768)


def test_one_of_many_channels_is_no_cancellation(tmp_path: Path) -> None:
    wave_NC = np.zeros((N, 16))
    wave_NC[:, 7] = voice()
    assert staged(tmp_path, wave_NC)[1] == [("repaired", "audio_resampled", "16 channels averaged")]


@pytest.mark.parametrize(("channel", "which"), [("left", 0), ("right", 1), (2, 1), (3, 2)])
def test_a_channel_is_chosen_by_param(tmp_path: Path, channel: str | int, which: int) -> None:
    wave_NC = np.stack([voice(seed=i) for i in range(3)], axis=1)
    [sample], rows = staged(tmp_path, wave_NC, channel=channel)
    assert rows == [("repaired", "audio_resampled", f"channel {which + 1} of 3")]
    np.testing.assert_allclose(media.read_flac(sample.members["flac"])[0], wave_NC[:, which], atol=2 / 32768)


def test_a_channel_that_is_not_there_is_a_drop_with_its_reason(tmp_path: Path) -> None:
    assert staged(tmp_path, voice(), channel="right")[1] == [
        ("dropped", "channel_missing", "the sound has 1 channel(s), no channel 2")
    ]


def test_clipped_sound_is_counted_and_a_tone_at_full_scale_is_not(tmp_path: Path) -> None:
    tone_N = np.sin(2 * np.pi * 440 * np.arange(N) / RATE_HZ)
    assert media.clipped_share(tone_N) == 0.0 and media.clipped_share(voice() / np.abs(voice()).max()) == 0.0
    loud_N = np.clip(8 * tone_N, -1.0, 32767 / 32768)
    assert media.clipped_share(loud_N) > 0.5 > CLIPPED
    # The second is beyond full scale, as float files may be: staging clips it.
    for wave_N in (loud_N, 8 * tone_N):
        assert ("kept", "sound_clipped") in [entry[:2] for entry in staged(tmp_path, wave_N)[1]]


@pytest.mark.parametrize("kind", SILENT)
def test_predict_says_silent_and_does_not_hear_it(tmp_path: Path, kind: str) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, SILENT[kind], RATE_HZ, subtype="PCM_16")
    with pytest.raises(DataError, match="its sound is silent"):
        model_of(tmp_path / "audio", variant="audio_only").predict(clip)
    with pytest.raises(DataError, match="its sound is silent"):
        model_of(tmp_path / "foal").predict(clip)


def test_predict_notes_cancelled_and_clipped_sound_and_takes_a_channel(tmp_path: Path) -> None:
    model, clip = model_of(tmp_path / "audio", variant="audio_only"), tmp_path / "clip.wav"
    soundfile.write(clip, np.stack([voice(), -voice()], axis=1), RATE_HZ, subtype="PCM_16")
    [said] = model.predict(clip)
    assert said.sound == "found" and any("channels of opposite phase" in note for note in said.notes)
    assert said.probabilities == model.predict(clip, channel="left")[0].probabilities
    assert model.predict(clip, channel="left")[0].notes == ()
    with pytest.raises(DataError, match=r"2 channel.s., no channel 3"):
        model.predict(clip, channel=3)
    soundfile.write(clip, np.clip(40 * voice(), -1, 1), RATE_HZ, subtype="PCM_16")
    assert any("full scale" in note for note in model.predict(clip)[0].notes)


def test_a_video_with_a_track_of_zeros_is_answered_by_its_picture_alone(tmp_path: Path) -> None:
    texture = np.random.default_rng(1).integers(0, 40, (480, 720, 1)).repeat(3, axis=2).astype(np.uint8)
    write_avi(tmp_path / "mute.avi", [picture(i) // 2 + texture for i in range(30)])
    soundfile.write(tmp_path / "zeros.wav", np.zeros(RATE_HZ), RATE_HZ, subtype="PCM_16")
    inputs = ("-i", str(tmp_path / "mute.avi"), "-i", str(tmp_path / "zeros.wav"))
    ffmpeg(*inputs, "-c", "copy", str(tmp_path / "film.avi"))
    model = model_of(tmp_path / "foal")
    [mute], [silent] = model.predict(tmp_path / "mute.avi"), model.predict(tmp_path / "film.avi")
    assert (mute.sound, silent.sound, silent.picture) == ("none", "silent", "found")
    assert mute.probabilities == silent.probabilities
    assert any(note.startswith("sound: the sound is silent") for note in silent.notes)
    assert any("without sound the figures" in note for note in silent.notes)


@pytest.mark.parametrize("encoder", ["logmel_cnn", "functionals"])
def test_training_takes_clips_that_are_not_heard(encoder: str) -> None:
    """Loss and gradients stay finite with a masked sound in the batch, alone or with others."""
    clips = [
        Clip.of(key, wave_N=voice(seed=i).astype(np.float32), frames=np.zeros((1, 0), np.float32),
             frame_mask_F=np.zeros(1, bool), heard=key != "silent")
        for i, key in enumerate(("one", "silent", "two"))
    ]  # fmt: skip
    shape = InputShape(rate_hz=RATE_HZ, frame=(0,))
    net = build_net("audio_only", Train(audio=AudioEncoder(encoder=encoder)), classes="ab", shape=shape)
    for members in (clips, clips[1:2]):
        batch = collate(members, dict.fromkeys(("one", "silent", "two"), 1))
        assert batch.raw["audio"].mask_BT.any(dim=1).tolist() == [clip.has("audio") for clip in members]
        net.zero_grad()
        logits_BC = net(batch).logits_BC
        logits_BC.square().sum().backward()
        assert torch.isfinite(logits_BC).all()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
