"""M2FNet's extractor losses: worked by hand, against every triplet, gradients, rows that take no part."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from foalnet.nets import UNSCORED, Steps
from foalnet.nets.losses.triplet import adaptive_triplet, covariance, extractor_losses, variance

CLOSE = {"rtol": 0.0, "atol": 1e-9}


def rows(size: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(size, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def margin(positive: float, negative: float) -> float:
    return 1 + 2 * math.exp(-4 * positive) + 1 + 2 * math.exp(4 * negative - 4)


def test_one_triplet_by_hand() -> None:
    # Directions at 0, 60 and 180 degrees: chords 1, 2 and root 3.
    x_KD = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2], [-7.0, 0.0]], dtype=torch.float64)
    first = 1 - (2 + math.sqrt(3)) / 2 + margin(1, 2)
    second = 1 - (math.sqrt(3) + 2) / 2 + margin(1, math.sqrt(3))
    loss = adaptive_triplet(x_KD, torch.tensor([3, 3, 1]))
    torch.testing.assert_close(loss, torch.tensor((first + second) / 2, dtype=torch.float64), **CLOSE)


def test_the_loss_of_a_row_is_the_mean_over_all_its_triplets_and_never_negative() -> None:
    x_KD, label = rows(7, 4), [0, 1, 0, 0, 1, 2, 1]
    z_KD = torch.nn.functional.normalize(x_KD, dim=1)
    distance = torch.cdist(z_KD, z_KD).tolist()
    means = []
    for a in range(7):
        triplets = [
            distance[a][p] - (distance[a][n] + distance[p][n]) / 2 + margin(distance[a][p], distance[a][n])
            for p, n in itertools.permutations(range(7), 2)
            if p != a and label[p] == label[a] != label[n]
        ]
        assert all(each > 0 for each in triplets)
        means += [sum(triplets) / len(triplets)] if triplets else []
    assert len(means) == 6, "the row of class 2 has no positive"
    expected = torch.tensor(sum(means) / 6, dtype=torch.float64)
    torch.testing.assert_close(adaptive_triplet(x_KD, torch.tensor(label)), expected, **CLOSE)


@pytest.mark.parametrize("label", [[0, 0, 0], [0, 1, 2], []])
def test_without_a_triplet_the_loss_is_zero_and_has_a_gradient(label: list[int]) -> None:
    x_KD = rows(len(label), 3).requires_grad_()
    label_K = torch.tensor(label, dtype=torch.int64)
    total = adaptive_triplet(x_KD, label_K) + variance(x_KD[:1], hinge=True) + covariance(x_KD[:1])
    total.backward()
    assert total.item() == 0.0
    assert x_KD.grad is not None and bool((x_KD.grad == 0).all())


def test_equal_rows_have_a_finite_gradient() -> None:
    x_KD = torch.ones(4, 3, requires_grad=True)
    (adaptive_triplet(x_KD, torch.tensor([0, 0, 1, 1])) + variance(x_KD, hinge=True) + covariance(x_KD)).backward()
    assert x_KD.grad is not None and bool(x_KD.grad.isfinite().all())


def test_variance_and_covariance_by_hand() -> None:
    # Deviations: 0 and 2 around 1 give root 2; 0 and 1 give root 1/2. Their covariance is 1.
    x_KD = torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    short = [1 - math.sqrt(2 + 1e-4), 1 - math.sqrt(0.5 + 1e-4)]
    assert variance(x_KD, hinge=False).item() == pytest.approx(3 * sum(short) / 2)
    assert variance(x_KD, hinge=True).item() == pytest.approx(3 * short[1] / 2)
    assert covariance(x_KD).item() == pytest.approx(3 * (1 + 1) / 2)
    assert variance(100 * x_KD, hinge=False).item() < -100, "as printed it has no smallest value"


def test_gradients() -> None:
    x_KD, label_K = rows(5, 3, seed=2).requires_grad_(), torch.tensor([0, 1, 0, 2, 1])
    assert torch.autograd.gradcheck(lambda x: adaptive_triplet(x, label_K), x_KD)
    assert torch.autograd.gradcheck(lambda x: variance(x, hinge=False), x_KD)
    assert torch.autograd.gradcheck(lambda x: variance(0.3 * x, hinge=True), x_KD)
    assert torch.autograd.gradcheck(covariance, x_KD)


def test_rows_without_a_class_or_the_modality_take_no_part_and_a_weight_of_0_no_loss() -> None:
    label_B = torch.tensor([0, 1, 0, UNSCORED, 1, 0])
    picture_B1 = torch.tensor([[True], [True], [False], [True], [True], [True]])
    encoded = {
        "audio": Steps(values_BTD=torch.zeros(6, 1, 1), mask_BT=torch.ones(6, 1, dtype=torch.bool)),
        "video": Steps(values_BTD=torch.zeros(6, 1, 1), mask_BT=picture_B1),
    }
    vectors = {"audio": rows(6, 4), "video": rows(6, 4, seed=1)}
    weights = {"triplet": 20.0, "variance": 0.0, "covariance": 5.0}
    losses = extractor_losses(vectors, encoded, label_B, weights, hinge=True)
    assert list(losses) == ["triplet", "covariance"]
    kept = {"audio": [0, 1, 2, 4, 5], "video": [0, 1, 4, 5]}
    each = [covariance(vectors[m][kept[m]]) for m in kept]
    torch.testing.assert_close(losses["covariance"], sum(each) / 2)
    each = [adaptive_triplet(vectors[m][kept[m]], label_B[kept[m]]) for m in kept]
    torch.testing.assert_close(losses["triplet"], sum(each) / 2)
