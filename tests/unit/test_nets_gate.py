"""Tests that every registered variant, encoder and fusion must pass, including new ones."""

from __future__ import annotations

import functools
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foalnet.config.load import merge
from foalnet.encoders import Pretrained
from foalnet.nets import (
    AUDIO_ENCODERS,
    FUSIONS,
    PRETRAINED_AUDIO,
    VARIANTS,
    VIDEO_ENCODERS,
    Batch,
    FoalNet,
    Inputs,
    InputShape,
    Net,
    build_net,
    encoders,
)
from foalnet.nets.losses import Objective
from foalnet.nets.tensors import Negatives
from foalnet.train.batches import collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, SIDE_PX, make_params, make_store
from tests.support.hub import needs_transformers, recorded

FRAMES = {"crop_cnn": (3, SIDE_PX, SIDE_PX)}
CASES: list[tuple[str, ...]] = [
    (variant, audio, video, fusion)
    for variant, audio, video, fusion in itertools.product(VARIANTS, AUDIO_ENCODERS, VIDEO_ENCODERS, FUSIONS)
    # MEM needs a fusion with two sides; FoalNet refuses others by name.
    if not VARIANTS[variant].mem or getattr(FUSIONS[fusion], "two_sided", False)
] + [
    (variant, audio, "linear", "cross_attention")
    for variant, audio in itertools.product(("audio_only", "foal"), PRETRAINED_AUDIO)
]
# The released code's network and objective; its padding of the sound is no matter of these tests.
RELEASED = {
    "fusion": {"kind": "cross_attention", "masking": "minus_10000"},
    "objective": {"temperature": "divisor", "positives": "sum", "no_negative": "positives", "matched_pass": "twice"},
    "init": "normal",
}
CASES += [("foal", audio, "identity", "cross_attention", "released") for audio in ("logmel_cnn", "wavlm_large")]
TIGHT = {"rtol": 0.0, "atol": 1e-5}


@functools.cache
def random_weights(name: str) -> Pretrained:
    """Small random weights of a pretrained encoder, written and loaded as the published ones are."""
    needs_transformers()
    with tempfile.TemporaryDirectory() as folder:
        pretrained = recorded(Path(folder), name)
    return replace(pretrained, folder=None)


class Case:
    """One network with a batch of four clips: the second has no picture."""

    def __init__(self, variant: str, audio: str, video: str, fusion: str, reading: str = "", **branch: Any) -> None:
        self.variant = variant
        self.params = make_params(
            **merge(
                {"audio": {"encoder": audio, **branch}, "video": {"encoder": video, **branch}},
                {"fusion": {"kind": fusion}} | (RELEASED if reading else {}),
            )
        )
        self.frame = FRAMES.get(video, (DIMS,))
        clips = list(make_store(groups=3, per_group=2, frame=self.frame, seed=4).store.clips.values())[:4]
        clips[1] = replace(clips[1], frames=clips[1].frames[:0], frame_mask_F=clips[1].frame_mask_F[:0])
        self.clips = clips
        self.batch = collate(clips, {clip.key: i % len(CLASSES) for i, clip in enumerate(clips)})
        self.pretrained = random_weights(audio) if audio in PRETRAINED_AUDIO else None
        self.net: Net = self.build()
        for encoder in encoders(self.net):
            encoder.fit([self.batch])

    def build(self) -> Net:
        torch.manual_seed(0)
        shape = InputShape(rate_hz=RATE_HZ, frame=self.frame)
        return build_net(self.variant, self.params, classes=len(CLASSES), shape=shape, pretrained=self.pretrained)

    def logits(self, inputs: Inputs) -> Tensor:
        self.net.eval()
        with torch.no_grad():
            logits_BC: Tensor = self.net(inputs).logits_BC
        return logits_BC

    def loss(self) -> Tensor:
        self.net.train()
        assert self.batch.label_B is not None
        objective = Objective(tasks=VARIANTS[self.variant], params=self.params.objective)
        return objective(self.net, self.net(self.batch), self.batch.label_B).total  # type: ignore[arg-type]


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def padded(batch: Batch, samples: int, frames: int) -> Batch:
    """The same batch with more padding, filled with loud noise that only the masks exclude."""
    size = len(batch.keys)
    noise = torch.randn(size, samples)
    more = torch.full((size, frames, *batch.frames.shape[2:]), 77).to(batch.frames.dtype)
    return replace(
        batch,
        wave_BN=torch.cat([batch.wave_BN, noise], 1),
        wave_mask_BN=torch.cat([batch.wave_mask_BN, torch.zeros(size, samples, dtype=torch.bool)], 1),
        frames=torch.cat([batch.frames, more], 1),
        frame_mask_BF=torch.cat([batch.frame_mask_BF, torch.zeros(size, frames, dtype=torch.bool)], 1),
    )


def test_t66_output_does_not_depend_on_the_amount_of_padding(case: Case) -> None:
    expected = case.logits(case.batch)
    for samples, frames in ((1, 1), (333, 2), (8000, 7)):
        torch.testing.assert_close(case.logits(padded(case.batch, samples, frames)), expected, **TIGHT)


def test_t66_values_behind_the_masks_have_no_say(case: Case) -> None:
    batch = case.batch
    expected = case.logits(batch)
    dirty = replace(
        batch,
        wave_BN=torch.where(batch.wave_mask_BN, batch.wave_BN, torch.tensor(float("nan"))),
        frames=torch.where(
            batch.frame_mask_BF.view(*batch.frame_mask_BF.shape, *[1] * (batch.frames.ndim - 2)),
            batch.frames,
            torch.tensor(200 if batch.frames.dtype == torch.uint8 else float("nan")).to(batch.frames.dtype),
        ),
    )
    torch.testing.assert_close(case.logits(dirty), expected, **TIGHT)


def test_t66_output_does_not_depend_on_neighbours(case: Case) -> None:
    together = case.logits(case.batch)
    for row, clip in enumerate(case.clips):
        torch.testing.assert_close(case.logits(collate([clip]))[0], together[row], **TIGHT)


def test_order_of_the_batch_only_orders_the_answers(case: Case) -> None:
    order = [2, 0, 3, 1]
    swapped = case.logits(collate([case.clips[i] for i in order]))
    torch.testing.assert_close(swapped, case.logits(case.batch)[order], **TIGHT)


def test_every_learning_parameter_gets_a_gradient(case: Case) -> None:
    case.loss().backward()
    silent = [
        name
        for name, p in case.net.named_parameters()
        if p.requires_grad and (p.grad is None or not bool(p.grad.abs().sum() > 0))
    ]
    # A key's bias shifts all scores of a query alike, which softmax does not see: its gradient is rounding.
    assert [name for name in silent if not name.endswith(("key.bias", "k_proj.bias"))] == []


def test_a_batch_without_any_picture_is_finite_in_answer_and_gradient(case: Case) -> None:
    none = torch.zeros_like(case.batch.frame_mask_BF)
    case.batch = replace(case.batch, frame_mask_BF=none)
    assert bool(torch.isfinite(case.logits(case.batch)).all())
    loss = case.loss()
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p.grad).all()) for p in case.net.parameters() if p.grad is not None)


def test_forward_needs_and_sees_no_label(case: Case) -> None:
    bare = Inputs(
        wave_BN=case.batch.wave_BN,
        wave_mask_BN=case.batch.wave_mask_BN,
        frames=case.batch.frames,
        frame_mask_BF=case.batch.frame_mask_BF,
    )
    assert torch.equal(case.logits(bare), case.logits(case.batch))


def test_the_same_seed_builds_the_same_network_and_answer(case: Case) -> None:
    again = case.build()
    fresh = dict(again.named_parameters())
    assert all(torch.equal(p, fresh[name]) for name, p in case.net.named_parameters())


@pytest.mark.parametrize("video", VIDEO_ENCODERS)
def test_training_changes_nothing_of_shape_or_mask(video: str) -> None:
    """Dropout and augmentation are on: answers differ from pass to pass, shapes and finiteness do not."""
    case = Case("foal", "logmel_cnn", video, "cross_attention", augment=True, dropout=0.2)
    case.net.train()
    torch.manual_seed(1)
    first, second = case.net(case.batch), case.net(case.batch)
    assert not torch.equal(first.logits_BC, second.logits_BC)
    for out in (first, second):
        for steps in (out.encoded.audio, out.encoded.video):
            assert steps is not None
            assert bool((steps.values_BTD[~steps.mask_BT] == 0).all()) and bool(torch.isfinite(steps.values_BTD).all())


def test_mem_shares_the_matched_pass_and_asks_about_the_pairs_it_is_given() -> None:
    """The own pair as "negative" must give the very answer of the matched pass: no second pass, no dropout between."""
    case = Case("foal", "logmel_cnn", "crop_cnn", "cross_attention")
    assert isinstance(case.net, FoalNet)
    case.net.eval()
    out = case.net(case.batch)
    own_B = torch.arange(len(case.clips))
    audio, video = out.encoded.audio, out.encoded.video
    assert audio is not None and video is not None
    same = case.net.match(out, Negatives(video=video.take(own_B), audio=audio.take(own_B)))
    torch.testing.assert_close(same.audio_matched_B2, same.audio_negative_B2)
    torch.testing.assert_close(same.video_matched_B2, same.video_negative_B2)
    other_B = own_B.roll(1)
    swapped = [case.clips[i] for i in other_B]
    # Audio i with video j gives the output of a clip i with clip j's frames.
    mixed = [
        replace(clip, frames=o.frames, frame_mask_F=o.frame_mask_F) for clip, o in zip(case.clips, swapped, strict=True)
    ]
    mixed_out = case.net(collate(mixed))
    assert mixed_out.fused.audio_BD is not None
    matched = case.net.match(out, Negatives(video=video.take(other_B), audio=audio.take(own_B)))
    torch.testing.assert_close(matched.audio_negative_B2, case.net.audio_match(mixed_out.fused.audio_BD), **TIGHT)


@pytest.mark.parametrize(("reading", "passes"), [("", 1), ("released", 2)])
def test_the_own_pair_is_fused_once_or_as_released_twice_with_its_own_dropout(reading: str, passes: int) -> None:
    case = Case("foal", "logmel_cnn", "identity", "cross_attention", reading)
    assert isinstance(case.net, FoalNet)
    for part in case.net.fusion.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
    case.net.fusion.train()
    out = case.net(case.batch)
    audio, video = out.encoded.audio, out.encoded.video
    assert audio is not None and video is not None and out.fused.audio_BD is not None
    matched_B2 = case.net.match(out, Negatives(video=video, audio=audio)).audio_matched_B2
    assert torch.equal(matched_B2, case.net.audio_match(out.fused.audio_BD)) == (passes == 1)
