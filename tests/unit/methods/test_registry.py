"""Tests that every variant, method and encoder of the registries must pass, including new ones."""

from __future__ import annotations

import functools
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from foalnet.config.load import merge
from foalnet.config.variants import VARIANTS, Modality, Variant
from foalnet.encoders import Pretrained
from foalnet.methods import METHODS, FoalNet, Method, Objective, build_net, method_of
from foalnet.nets import ENCODERS, PRETRAINED, Batch, Inputs, InputShape
from foalnet.nets.hashed import pieces_of
from foalnet.train.batches import Clip, Part, Turn, collate, turns_of
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, SIDE_PX, blind, make_params, make_store, put
from tests.support.hub import needs_transformers, recorded

FRAMES = {"crop_cnn": (3, SIDE_PX, SIDE_PX)}
READ_WORDS = ("gban", "hashed")
# The paper's variants with every encoder; every other method with all its losses, as many modalities as it takes, and
# every choice of them, with one encoder each.
WHOLE = [name for name, one in VARIANTS.items() if one.picture is None and one.method in ("foal", "single", "bc_lstm")]
OTHERS = {
    f"{name}-{'-'.join(inputs)}": Variant(method=name, inputs=list(inputs))
    for name, method in METHODS.items()
    for inputs in itertools.combinations(method.takes, min(method.most, len(method.takes)))
    if name not in ("foal", "single", "bc_lstm")
}
PAIR = ("functionals", "linear")
# An encoder does not know the method: every variant has one pair of encoders, and Foal-Net every pair.
CASES: list[tuple[str, ...]] = [
    *((variant, *PAIR) for variant in [*WHOLE, *OTHERS]),
    *(("foal", *pair) for pair in itertools.product(ENCODERS["audio"], ENCODERS["video"]) if pair != PAIR),
    *(("audio_only", audio, "linear") for audio in ENCODERS["audio"] if audio != PAIR[0]),
    *(("video_only", PAIR[0], video) for video in ENCODERS["video"] if video != PAIR[1]),
    *((variant, audio, "linear") for variant, audio in itertools.product(("audio_only", "foal"), PRETRAINED["audio"])),
]
# The released code's network and objective; its padding of the sound is no matter of these tests.
RELEASED = {
    "methods": {
        "foal": {
            "masking": "minus_10000", "temperature": "divisor", "positives": "sum", "no_negative": "positives",
            "matched_pass": "twice",
        }
    },
    "init": "normal",
}  # fmt: skip
CASES += [("foal", audio, "identity", "released") for audio in ("logmel_cnn", "wavlm_large")]
CASES += [("text_only", "logmel_cnn", "linear", "", text) for text in ENCODERS["text"] if text != "hashed"]
TIGHT = {"rtol": 0.0, "atol": 1e-5}


TEXTS = ("I do not know, maybe!", "", "Go home.", "well well well")


def words_of(text: str) -> Part:
    """The words of a text as hashes of their pieces."""
    hashes_TP = pieces_of(text)
    return Part(values=hashes_TP, mask_T=np.ones(len(hashes_TP), bool))


def vectors_of(text: str) -> Part:
    """A vector for each word of a text, as `features.text` gives them."""
    steps = len(pieces_of(text))
    values_TD = np.random.default_rng(len(text)).standard_normal((steps, DIMS)).astype(np.float32)
    return Part(values=values_TD, mask_T=np.ones(steps, bool))


@functools.cache
def random_weights(name: str) -> Pretrained:
    """Small random weights of a pretrained encoder, written and loaded as the published ones are."""
    needs_transformers()
    with tempfile.TemporaryDirectory() as folder:
        pretrained = recorded(Path(folder), name)
    return replace(pretrained, folder=None)


def without(clip: Clip, modality: Modality) -> Clip:
    """The clip with every step of a modality masked."""
    part = clip.parts[modality]
    return clip.put(modality, Part(values=part.values, mask_T=np.zeros_like(part.mask_T)))


class Case:
    """One network with a batch of four clips: the second has neither picture nor words, the third has no sound."""

    def __init__(
        self, variant: str, audio: str, video: str, reading: str = "", text: str = "hashed", **branch: Any
    ) -> None:
        self.variant, self.vectors = variant, None if text in READ_WORDS else DIMS
        self.params = make_params(
            **merge(
                {
                    "audio": {"encoder": audio, **branch},
                    "video": {"encoder": video, **branch},
                    "text": {"encoder": text, "dropout": 0.0, "augment": False},
                },
                {"variants": {**VARIANTS, **OTHERS}} | (RELEASED if reading else {}),
            )
        )
        self.frame = FRAMES.get(video, (DIMS,))
        clips = list(make_store(groups=3, per_group=2, frame=self.frame, seed=4).store.clips.values())[:4]
        clips[1] = blind(clips[1])
        part_of = words_of if self.vectors is None else vectors_of
        clips = [clip.put("text", part_of(text)) for clip, text in zip(clips, TEXTS, strict=True)]
        clips[2] = without(clips[2], "audio")
        self.clips = clips
        # Each clip has one of its own class and some of another: a loss on pairs may need either.
        self.labels = {clip.key: i % 2 for i, clip in enumerate(clips)}
        self.batch = self.collated(clips)
        self.pretrained = random_weights(audio) if audio in PRETRAINED["audio"] else None
        self.net: Method = self.build()
        for encoder in self.net.encoders.values():
            encoder.fit([self.batch])

    def collated(self, clips: list[Clip], *, together: bool = False) -> Batch:
        """The clips as a batch; for a method over turns each is a dialogue, or all are one of two speakers."""
        batch = collate(clips, self.labels)
        if not method_of(self.variant, self.params).over_turns:
            return batch
        turns = [Turn(key=clip.key, speaker="AB"[i // 2 % 2], scored=True) for i, clip in enumerate(clips)]
        return replace(batch, turns=turns_of([turns] if together else [[turn] for turn in turns]))

    def build(self) -> Method:
        torch.manual_seed(0)
        shape = InputShape(rate_hz=RATE_HZ, frame=self.frame, text=self.vectors)
        return build_net(self.variant, self.params, classes=CLASSES, shape=shape, pretrained=self.pretrained)

    def logits(self, inputs: Inputs) -> Tensor:
        self.net.eval()
        with torch.no_grad():
            logits_BC: Tensor = self.net(inputs).logits_BC
        return logits_BC

    def loss(self) -> Tensor:
        self.net.train()
        assert self.batch.label_B is not None
        objective = Objective()
        affect_BE = torch.tensor([[1.0, 4.0], [2.0, 2.0], [5.0, 1.0], [3.0, 5.0]])
        return objective(self.net, self.net(self.batch), self.batch.label_B, affect_BE).total


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def padded(batch: Batch, samples: int, frames: int) -> Batch:
    """The same batch with more padding, filled with loud noise that only the masks exclude."""
    size = len(batch.keys)
    pictures, text = batch.raw["video"].values_BTD, batch.raw["text"].values_BTD
    noise = {
        "audio": torch.randn(size, samples),
        "video": torch.full((size, frames, *pictures.shape[2:]), 77).to(pictures.dtype),
        "text": torch.full((size, frames, *text.shape[2:]), 77).to(text.dtype),
    }
    for modality, steps in batch.raw.items():
        more = noise[modality]
        mask_BT = torch.cat([steps.mask_BT, torch.zeros(*more.shape[:2], dtype=torch.bool)], 1)
        batch = put(batch, modality, values=torch.cat([steps.values_BTD, more], 1), mask_BT=mask_BT)
    return batch


def test_t66_output_does_not_depend_on_the_amount_of_padding(case: Case) -> None:
    expected = case.logits(case.batch)
    for samples, frames in ((1, 1), (333, 2), (8000, 7)):
        torch.testing.assert_close(case.logits(padded(case.batch, samples, frames)), expected, **TIGHT)


def test_t66_values_behind_the_masks_have_no_say(case: Case) -> None:
    dirty = case.batch
    expected = case.logits(dirty)
    for modality, steps in case.batch.raw.items():
        values, mask_BT = steps.values_BTD, steps.mask_BT
        junk = torch.tensor(200 if values.dtype == torch.uint8 else float("nan")).to(values.dtype)
        valid = mask_BT.view(*mask_BT.shape, *[1] * (values.ndim - 2))
        dirty = put(dirty, modality, values=torch.where(valid, values, junk))
    torch.testing.assert_close(case.logits(dirty), expected, **TIGHT)


def test_t66_output_does_not_depend_on_neighbours(case: Case) -> None:
    together = case.logits(case.batch)
    for row, clip in enumerate(case.clips):
        torch.testing.assert_close(case.logits(case.collated([clip]))[0], together[row], **TIGHT)


def test_order_of_the_batch_only_orders_the_answers(case: Case) -> None:
    order = [2, 0, 3, 1]
    swapped = case.logits(case.collated([case.clips[i] for i in order]))
    torch.testing.assert_close(swapped, case.logits(case.batch)[order], **TIGHT)


def test_every_learning_parameter_gets_a_gradient(case: Case) -> None:
    case.batch = case.collated(case.clips, together=True)
    case.loss().backward()
    silent = [
        name
        for name, p in case.net.named_parameters()
        if p.requires_grad and (p.grad is None or not bool(p.grad.abs().sum() > 0))
    ]
    # A key's bias shifts all scores of a query alike, which softmax does not see: its gradient is rounding.
    assert [name for name in silent if not name.endswith(("key.bias", "k_proj.bias"))] == []


@pytest.mark.parametrize("modality", get_args(Modality))
def test_a_batch_without_any_step_of_a_modality_is_finite_in_answer_and_gradient(
    case: Case, modality: Modality
) -> None:
    none = torch.zeros_like(case.batch.raw[modality].mask_BT)
    case.batch = put(case.batch, modality, mask_BT=none)
    assert bool(torch.isfinite(case.logits(case.batch)).all())
    loss = case.loss()
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p.grad).all()) for p in case.net.parameters() if p.grad is not None)


def test_forward_needs_and_sees_no_label(case: Case) -> None:
    bare = Inputs(raw=case.batch.raw, turns=case.batch.turns)
    assert torch.equal(case.logits(bare), case.logits(case.batch))


def test_the_same_seed_builds_the_same_network_and_answer(case: Case) -> None:
    again = case.build()
    fresh = dict(again.named_parameters())
    assert all(torch.equal(p, fresh[name]) for name, p in case.net.named_parameters())


@pytest.mark.parametrize("video", ENCODERS["video"])
def test_training_changes_nothing_of_shape_or_mask(video: str) -> None:
    """Dropout and augmentation are on: answers differ from pass to pass, shapes and finiteness do not."""
    case = Case("foal", "logmel_cnn", video, augment=True, dropout=0.2)
    case.net.train()
    torch.manual_seed(1)
    first, second = case.net(case.batch), case.net(case.batch)
    assert not torch.equal(first.logits_BC, second.logits_BC)
    for out in (first, second):
        for steps in out.encoded.values():
            assert bool((steps.values_BTD[~steps.mask_BT] == 0).all()) and bool(torch.isfinite(steps.values_BTD).all())


def test_mem_shares_the_matched_pass_and_asks_about_the_pairs_it_is_given() -> None:
    """The own pair as "negative" must give the very answer of the matched pass: no second pass, no dropout between."""
    case = Case("foal", "logmel_cnn", "crop_cnn")
    assert isinstance(case.net, FoalNet)
    case.net.eval()
    out = case.net(case.batch)
    own_B = torch.arange(len(case.clips))
    audio, video = out.encoded["audio"], out.encoded["video"]
    same = case.net.match(out, {"video": video.take(own_B), "audio": audio.take(own_B)})
    torch.testing.assert_close(same.audio_matched_B2, same.audio_negative_B2)
    torch.testing.assert_close(same.video_matched_B2, same.video_negative_B2)
    other_B = own_B.roll(1)
    swapped = [case.clips[i] for i in other_B]
    # Audio i with video j gives the output of a clip i with clip j's frames.
    mixed = [clip.put("video", o.parts["video"]) for clip, o in zip(case.clips, swapped, strict=True)]
    mixed_out = case.net(collate(mixed))
    matched = case.net.match(out, {"video": video.take(other_B), "audio": audio.take(own_B)})
    torch.testing.assert_close(matched.audio_negative_B2, case.net.audio_match(mixed_out.audio_BD), **TIGHT)


@pytest.mark.parametrize(("reading", "passes"), [("", 1), ("released", 2)])
def test_the_own_pair_is_fused_once_or_as_released_twice_with_its_own_dropout(reading: str, passes: int) -> None:
    case = Case("foal", "logmel_cnn", "identity", reading)
    assert isinstance(case.net, FoalNet)
    for part in case.net.fusion.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
    case.net.fusion.train()
    out = case.net(case.batch)
    matched_B2 = case.net.match(out, out.encoded).audio_matched_B2
    assert torch.equal(matched_B2, case.net.audio_match(out.audio_BD)) == (passes == 1)
