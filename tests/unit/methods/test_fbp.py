"""Attention in a modality and factorised bilinear pooling, both by hand on vectors of two numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from foalnet.methods.fbp import Attention, AttentionPool, BilinearPool, in_parts
from foalnet.nets import Steps
from tests.support.switches import check_switch, four_clips, fusion

LN2, LN3 = math.log(2), math.log(3)
# Two steps and one behind the mask.
STEPS = Steps(
    values_BTD=torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]], dtype=torch.float64),
    mask_BT=torch.tensor([[True, True, False]]),
)


def pooled(attention: Attention, first: list[list[float]], *second: list[float]) -> tuple[list[float], list[float]]:
    pool = AttentionPool(2, attention, 2).double()
    pool.first.weight.data = torch.tensor(first, dtype=torch.float64)
    if second:
        pool.second.weight.data = torch.tensor(second, dtype=torch.float64)
    vector_BP, weight_BT = pool(STEPS)
    return vector_BP[0].tolist(), weight_BT[0].tolist()


def test_the_transformer_weighs_a_step_by_its_squared_norm() -> None:
    vector, weights = pooled("transformer", [[1, 0], [0, 1]])  # squared norms 1 and 4
    assert weights == pytest.approx([0.2, 0.8, 0.0])
    assert vector == pytest.approx([0.2, 1.6])


def test_self_attention_weighs_a_step_by_a_sigmoid() -> None:
    vector, weights = pooled("self", [[LN3, -LN3 / 2]])  # sigmoids 3/4 and 1/4
    assert weights == pytest.approx([0.75, 0.25, 0.0])
    assert vector == pytest.approx([0.75, 0.5])


def test_relation_attention_weighs_it_again_with_the_first_mean() -> None:
    # The second sigmoids are 2/3 and 1/2: the weights are 3/4 * 2/3 and 1/4 * 1/2, divided by their sum 5/8.
    vector, weights = pooled("relation", [[LN3, -LN3 / 2]], [LN2, 0, 0, 0])
    assert weights == pytest.approx([0.8, 0.2, 0.0])
    assert vector == pytest.approx([0.8, 0.4, 0.75, 0.5])


def pooling(*, adaptive: bool) -> BilinearPool:
    pool = BilinearPool(2, factors=2, pooled=2, dropout=0.0, adaptive=adaptive).double()
    pool.first.weight.data = torch.tensor([[1, 0], [0, 1], [1, 1], [1, -1]], dtype=torch.float64)
    pool.second.weight.data = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, 1]], dtype=torch.float64)
    return pool


X, Y = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([[3.0, 1.0]], dtype=torch.float64)


def close(z_BO: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(z_BO, torch.tensor([expected], dtype=torch.float64), rtol=0.0, atol=1e-8)


def test_factorised_bilinear_pooling() -> None:
    z_BO, weights = pooling(adaptive=False)(X, Y)
    # Factors (1, 2, 3, -1) and (3, 1, -3, 1): products (3, 2), (-9, -1), sums 5 and -10.
    close(z_BO, [math.sqrt(5 / 15), -math.sqrt(10 / 15)])
    assert weights is None


def test_adaptive_pooling_weighs_the_modalities_before_factors_with_biases() -> None:
    pool = pooling(adaptive=True)
    assert pool.balance is not None
    torch.nn.init.zeros_(pool.balance.weight)
    pool.balance.bias.data = torch.tensor([LN3, 0.0], dtype=torch.float64)
    for layer in (pool.first, pool.second):
        torch.nn.init.ones_(layer.bias)
    z_BO, weight_B2 = pool(X, Y)
    # Weights 3/4 and 1/4. Factors (1.75, 2.5, 3.25, 0.25) and (1.75, 1.25, 0.25, 1.25): sums 6.1875 and 1.125.
    close(z_BO, [math.sqrt(11 / 13), math.sqrt(2 / 13)])
    assert weight_B2 is not None
    close(weight_B2, [0.75, 0.25])


def test_a_product_of_zero_has_finite_gradients() -> None:
    x_BP = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    z_BO, _ = pooling(adaptive=False)(x_BP, Y)
    z_BO.sum().backward()
    assert z_BO.tolist() == [[0.0, 0.0]]
    assert x_BP.grad is not None and bool(x_BP.grad.isfinite().all())


def test_the_attention_is_explained_as_a_multiple_of_the_means() -> None:
    mask_BT = torch.tensor([[True] * 16 + [False] * 3])
    weight_BT = torch.zeros(1, 19)
    weight_BT[0, :2] = 0.25
    weight_BT[0, 2:16] = 0.5 / 14
    torch.testing.assert_close(in_parts(weight_BT, mask_BT), torch.tensor([[4.0] + [4 / 7] * 7]))


def test_what_is_explained() -> None:
    net, (_, batch) = fusion("fbp", fbp="adaptive").eval(), four_clips()
    explain = net(batch).explain
    assert {name: tuple(values.shape) for name, values in explain.items()} == {
        "attention_audio": (4, 8),
        "attention_video": (4, 8),
        "weights": (4, 2),
    }
    torch.testing.assert_close(explain["attention_video"][1], torch.ones(8))  # a missing picture is one step


@pytest.mark.parametrize(
    "params",
    [{"attention": "self"}, {"attention": "relation", "chunks": 2}, {"fbp": "adaptive", "chunks": 3}],
    ids=lambda params: "-".join(map(str, params.values())),
)
def test_every_switch_learns_and_reads_each_utterance_alone(params: dict[str, Any]) -> None:
    check_switch("fbp", **params)
