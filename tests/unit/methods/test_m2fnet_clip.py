"""M2FNet over segments: what the head reads, the attention that is explained, one encoder by default."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foalnet.config.variants import Modality, Variant
from foalnet.methods import Method, Objective, build_net
from foalnet.methods.m2fnet_clip import M2FNetClip
from foalnet.nets import Batch, InputShape
from foalnet.nets.losses.triplet import adaptive_triplet
from foalnet.nets.segments import segments
from foalnet.train.batches import collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params, make_store
from tests.unit.methods.test_registry import words_of


def net_of(inputs: list[Modality], losses: dict[str, float] | None = None, **over: Any) -> M2FNetClip:
    params = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        methods={"m2fnet_clip": {"width": 16, "segments": 6, **over}},
        variants={"clip": Variant(method="m2fnet_clip", inputs=inputs, losses=losses or {})},
    )
    torch.manual_seed(0)
    shape = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
    net: Method = build_net("clip", params, classes=CLASSES, shape=shape)
    assert isinstance(net, M2FNetClip)
    return net.eval()


def batch() -> Batch:
    clips = list(make_store(groups=1, per_group=4, frame=(DIMS,)).store.clips.values())
    clips = [clip.put("text", words_of("go home then")) for clip in clips]
    return collate(clips, dict(zip([clip.key for clip in clips], [0, 0, 1, 1], strict=True)))


@pytest.mark.parametrize("inputs", [["audio", "video"], ["video", "text"], ["audio", "video", "text"]])
def test_the_head_reads_the_mean_over_the_segments_of_anchor_then_others(inputs: list[Modality]) -> None:
    net = net_of(inputs)
    given = batch()
    out = net(given)
    cut = {m: segments(steps, 6) for m, steps in net.stem(out.encoded).items()}
    joined_BTD, weights = net.fusion(
        {m: each.values_BTD for m, each in cut.items()}, torch.ones(4, 6, dtype=torch.bool)
    )
    torch.testing.assert_close(out.logits_BC, net.head(joined_BTD.mean(dim=1)))
    anchor = "text" if "text" in inputs else "audio"
    assert set(out.explain) == {f"by_{m}" for m in inputs if m != anchor}
    for m, weights_BTT in weights.items():
        shares_BT = out.explain[f"by_{m}"]
        torch.testing.assert_close(shares_BT, weights_BTT.mean(dim=1))
        torch.testing.assert_close(shares_BT.sum(dim=1), torch.ones(4))


def test_one_encoder_and_five_layers_by_default() -> None:
    net = net_of(["audio", "video"])
    assert (len(net.fusion.encoders["audio"].layers), len(net.fusion.layers)) == (1, 5)


def test_the_triplet_loss_is_on_sound_and_picture_after_the_stem() -> None:
    net, given = net_of(["audio", "video", "text"], {"triplet": 20.0}), batch()
    assert given.label_B is not None
    out = net(given)
    loss = Objective()(net, out, given.label_B)
    each = [adaptive_triplet(out.vectors[m], given.label_B) for m in ("audio", "video")]
    torch.testing.assert_close(loss.parts["triplet"], sum(each) / 2)
    torch.testing.assert_close(loss.total, loss.parts["cross_entropy"] + 20 * loss.parts["triplet"])
