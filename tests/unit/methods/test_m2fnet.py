"""M2FNet's layers worked by hand, the anchor, the skip around an encoder, its losses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from foalnet.config.variants import Modality, Variant
from foalnet.core.errors import UsageError
from foalnet.methods import Method, Objective, build_net
from foalnet.methods.m2fnet import M2FNet
from foalnet.nets import UNSCORED, Batch, InputShape
from foalnet.nets.losses.triplet import covariance, variance
from foalnet.nets.m2fnet import AnchorFusion, Encoders, FusionAttention
from foalnet.train.batches import Turn, collate, turns_of
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params, make_store
from tests.unit.methods.test_registry import words_of

THERE = torch.tensor([[True, True, False]])


def fusion_of(*modalities: Modality, width: int = 4, **over: Any) -> AnchorFusion:
    torch.manual_seed(0)
    given = {"encoders": 1, "layers": 2, "heads": 2, "dropout": 0.0, "query_again": False, **over}
    return AnchorFusion(modalities, width, method="m2fnet", **given).eval()


def test_fusion_attention_by_hand() -> None:
    """One head of width 1 with identity layers: F = (1, 2), X = (0, ln 3); the third turn is none."""
    layer = FusionAttention(1, others=1, heads=1, dropout=0.0, query_again=False).eval()
    attention = layer.attentions[0]
    with torch.no_grad():
        attention.in_proj_weight.fill_(1.0)
        attention.out_proj.weight.fill_(1.0)
        layer.join[0].weight.fill_(2.0)
        layer.join[0].bias.fill_(-3.6)
        anchor_STD = torch.tensor([[[1.0], [2.0], [99.0]]])
        key_STD = torch.tensor([[[0.0], [math.log(3)], [99.0]]])
        joined_STD, weights = layer(anchor_STD, [key_STD], THERE)
    # Scores of turn 1: 0 and ln 3; of turn 2: 0 and 2 ln 3. Values are F, not X.
    torch.testing.assert_close(weights[0][0, :2], torch.tensor([[0.25, 0.75, 0.0], [0.1, 0.9, 0.0]]))
    torch.testing.assert_close(joined_STD[0, :2, 0], torch.tensor([2 * 1.75 - 3.6, 2 * 1.9 - 3.6]).relu())
    assert joined_STD[0, 0, 0] == 0.0, "ReLU"


def test_the_key_alone_never_brings_content_into_the_anchor() -> None:
    """With one turn all attention is on it: F does not depend on X, the last concatenation does."""
    fusion = fusion_of("audio", "video")
    generator = torch.Generator().manual_seed(0)
    audio, first, second = (torch.randn(1, 1, 4, generator=generator) for _ in range(3))
    there_ST = torch.ones(1, 1, dtype=torch.bool)
    one, _ = fusion({"audio": audio, "video": first}, there_ST)
    two, _ = fusion({"audio": audio, "video": second}, there_ST)
    torch.testing.assert_close(one[..., :4], two[..., :4])
    assert not torch.allclose(one[..., 4:], two[..., 4:])


def test_every_encoder_has_a_skip_around_it() -> None:
    encoders = Encoders(4, layers=3, heads=2, dropout=0.0).eval()
    for layer in encoders.layers:
        torch.nn.init.zeros_(layer.norm2.weight)
        torch.nn.init.constant_(layer.norm2.bias, 0.5)
    x_STD = torch.randn(1, 3, 4)
    torch.testing.assert_close(encoders(x_STD, THERE)[0, :2], x_STD[0, :2] + 1.5)


@pytest.mark.parametrize(
    ("modalities", "anchor", "others"),
    [
        (("audio", "video", "text"), "text", ["audio", "video"]),
        (("video", "text"), "text", ["video"]),
        (("audio", "video"), "audio", ["video"]),
    ],
)
def test_the_anchor_is_text_or_audio(modalities: tuple[Modality, ...], anchor: str, others: list[str]) -> None:
    fusion = fusion_of(*modalities)
    assert (fusion.anchor, fusion.others) == (anchor, others)
    streams = {m: torch.randn(1, 3, 4) for m in modalities}
    joined_STD, weights = fusion(streams, THERE)
    assert joined_STD.shape == (1, 3, 4 * len(modalities)) and list(weights) == others


def test_the_query_again_widens_the_layer() -> None:
    layers = [fusion_of("audio", "video", "text", query_again=again).layers[0] for again in (False, True)]
    assert [layer.join[0].in_features for layer in layers] == [8, 12]


def test_heads_that_do_not_divide_the_width_are_an_error_by_name() -> None:
    with pytest.raises(UsageError, match="4 cannot be cut into 3 attention heads"):
        fusion_of("audio", "video", heads=3)


def net_of(losses: dict[str, float], **over: Any) -> tuple[M2FNet, Batch]:
    params = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        text={"dropout": 0.0},
        methods={"m2fnet": {"width": 16, "encoders": 1, "layers": 1, **over}},
        variants={"m2fnet": Variant(method="m2fnet", inputs=["audio", "video", "text"], losses=losses)},
    )
    store = make_store(groups=1, per_group=6, frame=(DIMS,), without_picture=1).store
    clips = [clip.put("text", words_of("well then")) for clip in store.clips.values()]
    labels = dict(zip([clip.key for clip in clips], [0, 0, 1, 1, 0, UNSCORED], strict=True))
    turns = turns_of([[Turn(key=clip.key, speaker="", scored=True) for clip in clips]])
    torch.manual_seed(0)
    net: Method = build_net("m2fnet", params, classes=CLASSES, shape=store.shape)
    assert isinstance(net, M2FNet)
    return net.eval(), replace(collate(clips, labels), turns=turns)


def test_the_losses_of_the_extractors_are_off_unless_a_variant_gives_them_weights() -> None:
    net, batch = net_of({})
    assert batch.label_B is not None
    assert list(Objective()(net, net(batch), batch.label_B).parts) == ["cross_entropy"]
    net, batch = net_of({"triplet": 20.0, "variance": 1.0, "covariance": 5.0}, hinge=False)
    assert batch.label_B is not None
    out = net(batch)
    loss = Objective()(net, out, batch.label_B)
    assert list(loss.parts) == ["cross_entropy", "triplet", "variance", "covariance"]
    parts = loss.parts
    weighted = parts["cross_entropy"] + 20 * parts["triplet"] + parts["variance"] + 5 * parts["covariance"]
    torch.testing.assert_close(loss.total, weighted)
    # The sixth row has no class, the first no picture; text takes no part.
    assert set(out.vectors) == {"audio", "video"}
    sound_KD, picture_KD = out.vectors["audio"][:5], out.vectors["video"][1:5]
    expected = (variance(sound_KD, hinge=False) + variance(picture_KD, hinge=False)) / 2
    torch.testing.assert_close(parts["variance"], expected)
    torch.testing.assert_close(parts["covariance"], (covariance(sound_KD) + covariance(picture_KD)) / 2)
    loss.total.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


def test_the_attention_over_turns_is_explained() -> None:
    net, batch = net_of({})
    explain = net(batch).explain
    assert set(explain) == {"by_audio", "by_video"}
    for shares_B3 in explain.values():
        assert shares_B3.shape == (6, 3)
        torch.testing.assert_close(shares_B3.sum(dim=1), torch.ones(6))
        assert shares_B3[0, 1] == 0.0 and shares_B3[5, 2] == 0.0


def test_the_dialogue_encoders_are_five_by_default() -> None:
    params = make_params(
        variants={"m": Variant(method="m2fnet", inputs=["audio", "video"])}, video={"encoder": "linear"}
    )
    shape = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
    net = build_net("m", params, classes="abcd", shape=shape)
    assert isinstance(net, M2FNet)
    assert [len(net.fusion.encoders[m].layers) for m in ("audio", "video")] == [5, 5] and len(net.fusion.layers) == 5
