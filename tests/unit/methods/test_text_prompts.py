"""Label prompts by hand: equal answers, weights by similarity, words that tell classes apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foalnet.core.errors import UsageError
from foalnet.methods.text_prompts import TextPrompts
from foalnet.nets import Steps
from tests.support.switches import check_switch, four_clips, fusion


class Given(nn.Module):
    """An attention that answers with the first key, whatever the prompt."""

    def forward(self, query_BCD: torch.Tensor, key_BTD: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor]:
        return (key_BTD[:, :1].expand_as(query_BCD),)


def steps(vector: list[float]) -> Steps:
    return Steps(values_BTD=torch.tensor([[vector]]), mask_BT=torch.ones(1, 1, dtype=torch.bool))


def prompts(**params: object) -> TextPrompts:
    net = fusion("text_prompts", heads=2, dropout=0.0, **params).eval()
    assert isinstance(net, TextPrompts)
    return net


def test_a_modality_counts_by_its_similarity_to_the_sentence() -> None:
    net = prompts(scale=2.0)
    net.attentions = nn.ModuleDict({"audio": Given(), "video": Given()})
    net.norm = nn.Identity()  # type: ignore[assignment]
    along, across = [1.0] + 7 * [0.0], [0.0, 1.0] + 6 * [0.0]
    with torch.no_grad():
        logits_BC, weight_BM = net.fuse(torch.tensor([along]), {"audio": steps(along), "video": steps(across)})
    # Cosines 1 and 0: weights e / (e + 1) and 1 / (e + 1), and the cosine of (e, 1) with (1, 0), times 2.
    e = torch.e
    torch.testing.assert_close(weight_BM, torch.tensor([[e / (e + 1), 1 / (e + 1)]]))
    torch.testing.assert_close(logits_BC, torch.tensor([[2 * e / (e * e + 1) ** 0.5]]))


def test_each_class_has_a_sentence_of_its_own_and_the_weights_sum_to_one() -> None:
    net = prompts()
    vectors_CD = net.prompts().detach()
    assert vectors_CD.shape == (4, 8) and float(torch.pdist(vectors_CD).min()) > 0.0
    _, batch = four_clips()
    weight_BM = net(batch).explain["modalities"]
    torch.testing.assert_close(weight_BM.sum(dim=1), torch.ones(4))
    assert net.columns("modalities", 2) == ["audio", "video"]


def test_the_sentence_needs_a_place_for_the_name() -> None:
    with pytest.raises(UsageError, match=r"text_prompts\.prompt"):
        prompts(prompt="a happy person")
    with pytest.raises(UsageError, match="cannot be cut"):
        fusion("text_prompts", heads=3)


def test_another_sentence_is_another_network() -> None:
    check_switch("text_prompts", heads=2, dropout=0.0, prompt="this voice sounds {}")
