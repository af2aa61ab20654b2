"""LMAM: matching attention worked by hand, its rank, the ceiling of its scores, the anchor."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from foalnet.config.variants import Modality, Variant
from foalnet.methods import Method, build_net
from foalnet.methods.lmam import Lmam, Matching
from foalnet.nets import InputShape
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params


def net_of(inputs: list[Modality], **over: Any) -> Lmam:
    params = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        methods={"lmam": {"width": 8, **over}},
        variants={"lmam": Variant(method="lmam", inputs=inputs)},
    )
    torch.manual_seed(0)
    net: Method = build_net("lmam", params, classes=CLASSES, shape=InputShape(rate_hz=RATE_HZ, frame=(DIMS,)))
    assert isinstance(net, Lmam)
    return net.eval()


def gelu(x: float) -> float:
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def test_two_queries_over_two_turns_by_hand() -> None:
    """W = 1, b = 0, memory 1 and -1, a third turn that is none: e = tanh(q m)."""
    matching = Matching(1, rank=None, learned=False)
    with torch.no_grad():
        matching.transform.weight.fill_(1.0)
        matching.transform.bias.zero_()
    anchor_STD = torch.tensor([[[1.0], [-1.0], [0.0]]])
    audio_STD = torch.tensor([[[0.5], [0.0], [0.0]]])
    there_ST = torch.tensor([[True, True, False]])
    fused_STD, weights_STT = matching([anchor_STD, audio_STD], anchor_STD, there_ST)

    def first(q: float) -> float:
        return 1 / (1 + math.exp(-2 * math.tanh(q)))

    text, audio = [first(1.0), first(-1.0)], [first(0.5), 0.5]
    sums = [2 * a - 1 + 2 * b - 1 for a, b in zip(text, audio, strict=True)]
    expected = torch.tensor([gelu(sums[0]) + 1, gelu(sums[1]) - 1])
    torch.testing.assert_close(fused_STD[0, :2, 0], expected)
    means = torch.tensor([(a + b) / 2 for a, b in zip(text, audio, strict=True)])
    torch.testing.assert_close(weights_STT[0, :2, 0], means)
    assert bool((weights_STT[..., 2] == 0).all())


def test_a_rank_factorises_w_and_keeps_its_deviation_at_the_start() -> None:
    torch.manual_seed(0)
    full, low = Matching(256, rank=None, learned=False), Matching(256, rank=16, learned=False)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (full, low)]
    assert sizes == [256 * 256 + 256, 2 * 256 * 16 + 256]
    product_DD = low.transform[1].weight @ low.transform[0].weight
    assert float(product_DD.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert float(full.transform.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert int(torch.linalg.matrix_rank(product_DD.double(), rtol=1e-5)) == 16


def test_the_tanh_limits_a_turns_weight_and_a_learned_scale_lifts_the_limit() -> None:
    """The first turn of a median dialogue is as far from all others as the scores allow."""
    x_STD = torch.tensor([1.0] + [-1.0] * 66).reshape(1, 67, 1)
    there_ST = torch.ones(1, 67, dtype=torch.bool)
    matching = Matching(1, rank=None, learned=True)
    with torch.no_grad():
        matching.transform.weight.fill_(100.0)
        _, weights_STT = matching([x_STD], x_STD, there_ST)
        assert float(weights_STT[0, 0, 0]) == pytest.approx(1 / (1 + 66 * math.exp(-2))) == pytest.approx(0.1, abs=0.01)
        matching.scale.fill_(10.0)
        assert float(matching([x_STD], x_STD, there_ST)[1][0, 0, 0]) > 0.99


@pytest.mark.parametrize(
    ("inputs", "anchor"),
    [(["audio", "video", "text"], "text"), (["video", "text"], "text"), (["video", "audio"], "audio")],
)
def test_the_anchor_is_text_or_audio(inputs: list[Modality], anchor: str) -> None:
    assert net_of(inputs).anchor == anchor


@pytest.mark.parametrize(
    ("over", "hosts"),
    [
        ({}, {"fused"}),
        ({"placement": "early_residual"}, {"fused"}),
        ({"placement": "late"}, {"audio", "video", "text"}),
        ({"placement": "late", "hosts": "anchor"}, {"text"}),
    ],
)
def test_the_placement_decides_what_the_host_reads(over: dict[str, str], hosts: set[str]) -> None:
    net = net_of(["audio", "video", "text"], **over)
    assert set(net.hosts) == hosts
    assert (net.join is not None) == (over.get("placement") == "early_residual")
