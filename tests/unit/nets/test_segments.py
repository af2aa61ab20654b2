"""Segments: means by hand, the nearest step where one is empty, and no influence of what is masked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foalnet.nets.segments import segments
from foalnet.nets.tensors import Steps


def steps(values: list[float], mask: list[bool] | None = None) -> Steps:
    values_BTD = torch.tensor(values, dtype=torch.float64).view(1, -1, 1)
    return Steps(values_BTD=values_BTD, mask_BT=torch.tensor([mask or [True] * len(values)]))


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        # floor(2 i / 5) is 0 0 0 1 1.
        ([1.0, 2.0, 6.0, 8.0, 9.0], 2, [3.0, 8.5]),
        # floor(5 i / 2) is 0 2; segment 1 is nearer to the first step, 3 and 4 to the second.
        ([1.0, 7.0], 5, [1.0, 1.0, 7.0, 7.0, 7.0]),
        ([4.0], 3, [4.0, 4.0, 4.0]),
        ([1.0, 2.0, 3.0], 3, [1.0, 2.0, 3.0]),
        ([1.0, 3.0, 5.0], 1, [3.0]),
    ],
)
def test_means_of_equal_parts(values: list[float], count: int, expected: list[float]) -> None:
    parts = segments(steps(values), count)
    torch.testing.assert_close(parts.values_BTD.flatten(), torch.tensor(expected, dtype=torch.float64))
    assert parts.mask_BT.tolist() == [[True] * count]


def test_only_valid_steps_are_counted_wherever_they_are() -> None:
    nan = float("nan")
    alone = segments(steps([1.0, 3.0, 5.0]), 2).values_BTD
    among = segments(steps([nan, 1.0, 3.0, nan, 5.0, nan], [False, True, True, False, True, False]), 2).values_BTD
    assert torch.equal(alone, among)


def test_utterances_of_a_batch_are_cut_by_their_own_length() -> None:
    values_BTD = torch.arange(12, dtype=torch.float64).view(2, 6, 1)
    mask_BT = torch.arange(6) < torch.tensor([[6], [2]])
    parts = segments(Steps(values_BTD=values_BTD, mask_BT=mask_BT), 2).values_BTD[..., 0]
    assert parts.tolist() == [[1.0, 4.0], [6.0, 7.0]]


def test_gradients() -> None:
    mask_BT = torch.tensor([[True] * 5, [True, True, False, False, False]])
    values_BTD = torch.randn(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def parts(values_BTD: Tensor) -> Tensor:
        return segments(Steps(values_BTD=values_BTD, mask_BT=mask_BT), 3).values_BTD

    assert torch.autograd.gradcheck(parts, values_BTD.requires_grad_())
