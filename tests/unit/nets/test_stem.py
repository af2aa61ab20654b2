"""The stem: linear layer and norm by hand, a learned vector for a missing modality, nothing of what is masked."""

from __future__ import annotations

import torch
from torch import Tensor

from foalnet.nets.encoder import Encoder
from foalnet.nets.stem import Stem
from foalnet.nets.tensors import Steps


def stem() -> Stem:
    """A stem of two numbers a step that doubles them before the norm; the missing vector is (7, 9)."""
    encoder = Encoder()
    encoder.width = 2
    made = Stem({"audio": encoder}, 2, dropout=0.0).double()
    linear, norm, _ = made.layers["audio"]
    norm.eps = 0.0
    with torch.no_grad():
        linear.weight.copy_(2 * torch.eye(2))
        linear.bias.zero_()
        made.missing["audio"].copy_(torch.tensor([7.0, 9.0]))
    return made


def through(stem: Stem, values_BTD: Tensor, mask_BT: Tensor) -> Steps:
    return stem({"audio": Steps(values_BTD=values_BTD, mask_BT=mask_BT)})["audio"]


def test_steps_are_normed_and_masked_ones_are_zero() -> None:
    values_BTD = torch.tensor([[[1.0, 3.0], [5.0, 1.0], [float("nan"), 4.0]]], dtype=torch.float64)
    mask_BT = torch.tensor([[True, True, False]])
    after = through(stem(), values_BTD, mask_BT)
    # Twice (1, 3) has mean 4 and deviation 2.
    assert after.values_BTD.tolist() == [[[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]]
    assert torch.equal(after.mask_BT, mask_BT)


def test_a_missing_modality_is_one_step_of_the_learned_vector() -> None:
    values_BTD = torch.tensor([[[1.0, 3.0], [5.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    made = stem()
    after = through(made, values_BTD, torch.tensor([[True, True], [False, False]]))
    assert after.values_BTD[1].tolist() == [[7.0, 9.0], [0.0, 0.0]]
    assert after.mask_BT.tolist() == [[True, True], [True, False]]
    after.values_BTD[0].sum().backward(retain_graph=True)
    assert made.missing["audio"].grad is not None and not bool(made.missing["audio"].grad.any())
    after.values_BTD[1].sum().backward()
    assert made.missing["audio"].grad.tolist() == [1.0, 1.0]


def test_gradients() -> None:
    made = stem()
    values_BTD = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask_BT = torch.arange(4) < torch.tensor([[4], [2], [0]])
    weight, missing = made.layers["audio"][0].weight, made.missing["audio"]

    def values(values_BTD: Tensor, *_: Tensor) -> Tensor:
        return through(made, values_BTD, mask_BT).values_BTD

    # Of two numbers the norm without an eps leaves the signs alone, which have no gradient.
    made.layers["audio"][1].eps = 0.5
    assert torch.autograd.gradcheck(values, (values_BTD.requires_grad_(), weight, missing))
