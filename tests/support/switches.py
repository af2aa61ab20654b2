"""A fusion with other params: what the gate of the registry checks of the defaults, in one small network."""

from __future__ import annotations

from typing import Any

import torch

from foalnet.config.variants import Modality, Variant
from foalnet.methods import CCC, Method, Objective, build_net
from foalnet.nets import Batch
from foalnet.train.batches import Clip, collate
from tests.support.corpus.stores import CLASSES, DIMS, blind, make_params, make_store

INPUTS: tuple[Modality, ...] = ("audio", "video")


def four_clips() -> tuple[list[Clip], Batch]:
    """Four clips of four classes, the second without a picture, the third without sound, and their batch."""
    synthetic = make_store(groups=1, per_group=4, frame=(DIMS,), seed=4)
    clips = list(synthetic.store.clips.values())
    clips[1], clips[2] = blind(clips[1]), clips[2].silenced()
    return clips, collate(clips, {clip.key: CLASSES.index(synthetic.labels[clip.key]) for clip in clips})


def fusion(method: str, *, affect: bool = False, **params: Any) -> Method:
    """The fusion of sound and feature vectors with these params, without the dropouts that all fusions share.

    `affect`: a method that can learn valence and activation does.
    """
    losses = {CCC: 1.0} if affect else {}
    train = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        methods={method: {"width": 8, "stem_dropout": 0.0, "head_dropout": 0.0, **params}},
        variants={method: Variant(method=method, inputs=list(INPUTS), losses=losses)},
    )
    torch.manual_seed(0)
    net = build_net(method, train, classes=CLASSES, shape=make_store(groups=1, frame=(DIMS,)).store.shape)
    _, batch = four_clips()
    for encoder in net.encoders.values():
        encoder.fit([batch])
    return net


def check_switch(method: str, **params: Any) -> None:
    """Assert that every parameter learns, and that an utterance's logits do not depend on the others of its batch."""
    net, (clips, batch) = fusion(method, **params), four_clips()
    assert batch.label_B is not None
    Objective()(net, net(batch), batch.label_B).total.backward()
    grads = {name: p.grad for name, p in net.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not bool(grad.abs().sum() > 0)] == []
    net.eval()
    with torch.no_grad():
        together = net(batch).logits_BC
        alone = torch.cat([net(collate([clip])).logits_BC for clip in clips])
    torch.testing.assert_close(alone, together, rtol=0.0, atol=1e-5)
