"""A small fusion with a batch for it: of four clips the second has no picture, the third no sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F

from foalnet.config.variants import Modality, Variant
from foalnet.methods import Method, build_net
from foalnet.nets import Batch, InputShape
from foalnet.nets.hashed import pieces_of
from foalnet.nets.tensors import Steps
from foalnet.train.batches import Part, collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, blind, make_params, make_store

ALL: tuple[Modality, ...] = get_args(Modality)
TEXTS = ("I do not know, maybe!", "Go home.", "", "well well well")


def fusion(
    method: str, inputs: Sequence[Modality] = ALL, *, losses: dict[str, float] | None = None, **config: Any
) -> Any:
    """The method's network of width 8, initialised with seed 0, its head and stem without dropout."""
    variants = {method: Variant(method=method, inputs=list(inputs), losses=losses or {})}
    config = {"width": 8, "stem_dropout": 0.0, "head_dropout": 0.0, **config}
    params = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        text={"dropout": 0.0, "augment": False},
        methods={method: config},
        variants=variants,
    )
    torch.manual_seed(0)
    net = build_net(method, params, classes=CLASSES, shape=InputShape(rate_hz=RATE_HZ, frame=(DIMS,)))
    assert isinstance(net, Method)
    return net


def four() -> Batch:
    """Four clips with text, of two classes."""
    clips = list(make_store(groups=3, per_group=2, frame=(DIMS,), seed=4).store.clips.values())[:4]
    clips[1] = blind(clips[1])
    sound = clips[2].parts["audio"]
    clips[2] = clips[2].put("audio", Part(values=sound.values, mask_T=np.zeros_like(sound.mask_T)))
    pieces = [pieces_of(text) for text in TEXTS]
    clips = [
        clip.put("text", Part(values=each, mask_T=np.ones(len(each), bool)))
        for clip, each in zip(clips, pieces, strict=True)
    ]
    return collate(clips, {clip.key: i % 2 for i, clip in enumerate(clips)})


def padded(batch: Batch, more: int) -> Batch:
    """The batch with more padding of every modality."""
    raw = {}
    for modality, steps in batch.raw.items():
        beyond = (0, 0) * (steps.values_BTD.ndim - 2)
        raw[modality] = Steps(
            values_BTD=F.pad(steps.values_BTD, (*beyond, 0, more)), mask_BT=F.pad(steps.mask_BT, (0, more))
        )
    return replace(batch, raw=raw)


def alone(batch: Batch, *rows: int) -> Batch:
    """Rows of the batch, without its labels and dialogues."""
    index_B = torch.tensor(rows)
    raw = {modality: steps.take(index_B) for modality, steps in batch.raw.items()}
    return Batch(raw=raw, keys=tuple(batch.keys[row] for row in rows))
