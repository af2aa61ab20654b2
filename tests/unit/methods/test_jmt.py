"""The six tokens by hand, the weights that they share, and what is read out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foalnet.core.errors import UsageError
from foalnet.methods import Objective
from foalnet.methods.jmt import TOKENS, Jmt
from tests.support.switches import check_switch, four_clips, fusion


class Sum(nn.Module):
    """In place of an attention: the query plus ten times the source; as the weights of its queries 1 to 6 each."""

    def forward(self, query: Tensor, keys: Tensor, _: Tensor, *, need_weights: bool = True) -> tuple[Tensor, Tensor]:
        return query + 10 * keys, torch.arange(1.0, keys.shape[1] + 1).expand(*query.shape[:2], -1)


def jmt(**params: Any) -> Jmt:
    net = fusion("jmt", **params).eval()
    assert isinstance(net, Jmt)
    return net


@pytest.mark.parametrize(("readout", "expected"), [("last", 31.0), ("mean", 22.0)])
def test_the_six_tokens_and_the_one_that_is_read(readout: str, expected: float) -> None:
    net = jmt(readout=readout, normalise=False)
    for name in ("audio", "video", "joint"):
        net.streams[name] = nn.Identity()
        net.attentions[name] = Sum()
    net.final = nn.Identity()
    nn.init.zeros_(net.join.bias)
    net.join.weight.data = torch.cat([torch.eye(8), torch.eye(8)], dim=1)
    audio_BTD, video_BTD = torch.full((1, 3, 8), 1.0), torch.full((1, 3, 8), 2.0)
    # V<-A 12, A<-V 21, J<-V 23, V<-J 32, J<-A 13, A<-J 31; the last attention adds ten times each token.
    net.weigh = Sum()
    fused_BD, weight_BK = net.fuse(audio_BTD, video_BTD)
    torch.testing.assert_close(fused_BD, torch.full((1, 8), 11 * expected))
    assert weight_BK.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]


def test_the_queries_are_shared_across_sources_or_not() -> None:
    three, six = jmt(), jmt(attentions="six")
    assert list(three.attentions) == ["video", "audio", "joint"]
    assert list(six.attentions) == [f"{query}_{source}" for query, source in TOKENS]
    calls: list[int] = []
    for attention in three.attentions.values():
        attention.register_forward_hook(lambda *_: calls.append(1))
    three(four_clips()[1])
    assert len(calls) == 6


def test_inputs_have_unit_length() -> None:
    net = jmt()
    audio_BTD, video_BTD = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    fused_BD, _ = net.fuse(audio_BTD, video_BTD)
    torch.testing.assert_close(net.fuse(3 * audio_BTD, 0.5 * video_BTD)[0], fused_BD)


def test_the_weights_of_the_tokens_are_explained() -> None:
    tokens_BK = jmt()(four_clips()[1]).explain["tokens"]
    assert tokens_BK.shape == (4, 6)
    torch.testing.assert_close(tokens_BK.sum(dim=1), torch.ones(4))


def test_heads_that_do_not_divide_the_width_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"width of 8 .* 3 attention heads"):
        jmt(heads=3)


@pytest.mark.parametrize(
    "params",
    [{"attentions": "six", "readout": "mean", "heads": 2}, {"normalise": False, "head": "shared", "dropout": 0.1}],
    ids=["six-mean", "shared"],
)
def test_every_switch_learns_and_reads_each_utterance_alone(params: dict[str, Any]) -> None:
    check_switch("jmt", **params)


def test_ratings_train_all_but_the_layer_that_reads_classes_which_passes_no_gradient_back() -> None:
    net, (_, batch) = fusion("jmt", affect=True).train(), four_clips()
    outputs = net(batch)
    assert outputs.affect_BE is not None and outputs.affect_BE.shape == (4, 2) and outputs.logits_BC.shape == (4, 4)
    assert batch.label_B is not None
    Objective()(net, outputs, batch.label_B).total.backward()
    learned = {name.partition(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    assert learned == {"read_classes"}
    affect_BE = torch.tensor([[1.0, 4.0], [2.0, 2.0], [5.0, 1.0], [3.0, 5.0]])
    loss = Objective()(net, net(batch), batch.label_B, affect_BE)
    assert list(loss.parts) == ["cross_entropy", "ccc"] and 0.0 < loss.parts["ccc"].item() < 2.0
    assert loss.total.item() == pytest.approx((loss.parts["cross_entropy"] + loss.parts["ccc"]).item())
    loss.total.backward()
    assert all(p.grad is not None for p in net.parameters())
