"""Contrastive losses: values by hand in float64, gradients, rows that take no part."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foalnet.nets.losses.contrastive import supervised_contrastive, two_passes
from foalnet.nets.tensors import UNSCORED

# Cosines: 0.6 of the first two, 0 of the first and third, 0.8 of the last two.
ROWS = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]


def rows(values: list[list[float]] = ROWS) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_positive_against_all_other_rows() -> None:
    loss = supervised_contrastive(rows(), torch.tensor([0, 0, 1]), 0.5)
    # Divided by 0.5: 1.2, 0 and 1.6. The third row has no positive.
    first = math.log(math.exp(1.2) + 1) - 1.2
    second = math.log(math.exp(1.2) + math.exp(1.6)) - 1.2
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-12)


def test_a_row_averages_its_positives_outside_the_logarithm() -> None:
    loss = supervised_contrastive(rows([*ROWS, [0.0, -1.0]]), torch.tensor([2, 2, 2, 0]), 1.0)
    cosines = {0: (0.6, 0.0, 0.0), 1: (0.6, 0.8, -0.8), 2: (0.0, 0.8, -1.0)}
    each = [math.log(sum(map(math.exp, row))) - (row[0] + row[1]) / 2 for row in cosines.values()]
    assert loss.item() == pytest.approx(sum(each) / 3, abs=1e-12)


def test_lengths_of_vectors_have_no_say() -> None:
    label_K = torch.tensor([0, 0, 1])
    long_KD = rows() * torch.tensor([[3.0], [0.5], [40.0]])
    torch.testing.assert_close(
        supervised_contrastive(long_KD, label_K, 0.1), supervised_contrastive(rows(), label_K, 0.1)
    )


def test_rows_without_a_class_are_neither_positives_nor_negatives() -> None:
    label_K = torch.tensor([0, 0, 1])
    both_KD = torch.cat([rows(), rows([[0.1, 0.9], [-1.0, 0.3]])]).requires_grad_()
    loss = supervised_contrastive(both_KD, torch.cat([label_K, torch.tensor([UNSCORED] * 2)]), 0.5)
    torch.testing.assert_close(loss, supervised_contrastive(rows(), label_K, 0.5))
    loss.backward()
    assert both_KD.grad is not None and not bool(both_KD.grad[3:].any()) and bool(both_KD.grad[:3].any())


@pytest.mark.parametrize("labels", [[0, 1, 2], [UNSCORED] * 3, [UNSCORED, UNSCORED, 1]])
def test_without_any_positive_the_loss_and_its_gradient_are_zero(labels: list[int]) -> None:
    x_KD = rows().requires_grad_()
    loss = supervised_contrastive(x_KD, torch.tensor(labels), 0.1)
    loss.backward()
    assert loss.item() == 0.0 and x_KD.grad is not None and not bool(x_KD.grad.any())


def test_a_single_row_and_a_row_of_zeros_are_finite() -> None:
    assert supervised_contrastive(rows([[1.0, 0.0]]), torch.tensor([0]), 0.1).item() == 0.0
    assert two_passes(rows([[1.0, 0.0]]), rows([[0.0, 1.0]]), 0.1).item() == 0.0
    x_KD = rows([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).requires_grad_()
    (supervised_contrastive(x_KD, torch.tensor([0, 0, 1]), 0.1) + two_passes(x_KD, x_KD, 0.1)).backward()
    assert x_KD.grad is not None and bool(x_KD.grad.isfinite().all())


def test_two_passes_by_hand() -> None:
    loss = two_passes(rows([[1.0, 0.0], [0.0, 1.0]]), rows([[0.6, 0.8], [0.0, 2.0]]), 0.5)
    # First row: 1.2 its own, 0 the other. Second row: 2 its own, 1.6 the other.
    each = [math.log(1 + math.exp(-1.2)), math.log(1 + math.exp(-0.4))]
    assert loss.item() == pytest.approx(sum(each) / 2, abs=1e-12)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    first_KD, second_KD = (
        torch.randn(6, 3, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)
    )
    label_K = torch.tensor([0, 1, 0, UNSCORED, 1, 2])
    assert torch.autograd.gradcheck(lambda x_KD: supervised_contrastive(x_KD, label_K, 0.3), first_KD)
    assert torch.autograd.gradcheck(lambda x_KD, y_KD: two_passes(x_KD, y_KD, 0.3), (first_KD, second_KD))
