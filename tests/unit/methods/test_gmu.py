"""The gated unit by hand: tanh ln 3 = 0.8, tanh ln 2 = 0.6, sigmoid ln 3 = 3/4, sigmoid ln 2 = 2/3."""

from __future__ import annotations

import math

import torch

from foalnet.methods.gmu import GatedUnit
from tests.support.switches import four_clips, fusion

LN2, LN3 = math.log(2), math.log(3)
AUDIO, VIDEO, TEXT = [LN3, LN3], [LN2, -LN3], [0.0, LN2]


def rows(*vectors: list[float]) -> list[torch.Tensor]:
    return [torch.tensor([vector], dtype=torch.float64) for vector in vectors]


def unit(*gates: list[list[float]], modalities: int) -> GatedUnit:
    """The unit over vectors of two numbers with these gates and identities as its other weights."""
    made = GatedUnit(2, modalities).double()
    for layer in made.hidden:
        torch.nn.init.eye_(layer.weight)
    for layer, weight in zip(made.gates, gates, strict=True):
        layer.weight.data = torch.tensor(weight, dtype=torch.float64)
    return made


def test_of_two_modalities_one_gate_and_its_complement() -> None:
    # The first gate reads the sound's first number, the second the picture's: 3/4 and 2/3.
    fused_BD, gates_BM = unit([[1, 0, 0, 0], [0, 0, 1, 0]], modalities=2)(rows(AUDIO, VIDEO))
    expected = [[0.75 * 0.8 + 0.25 * 0.6, 0.8 * 2 / 3 - 0.8 / 3]]
    torch.testing.assert_close(fused_BD, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(gates_BM, torch.tensor([[17 / 24, 7 / 24]], dtype=torch.float64))


def test_of_three_modalities_one_gate_each() -> None:
    audio = [[1, 0, 0, 0, 0, 0], [0] * 6]  # 3/4, 1/2
    video = [[0] * 6] * 2  # 1/2, 1/2
    text = [[0, 0, 0, 0, 0, 1]] * 2  # 2/3, 2/3
    fused_BD, gates_BM = unit(audio, video, text, modalities=3)(rows(AUDIO, VIDEO, TEXT))
    expected = [[0.75 * 0.8 + 0.5 * 0.6, 0.5 * 0.8 - 0.5 * 0.8 + 0.6 * 2 / 3]]
    torch.testing.assert_close(fused_BD, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(gates_BM, torch.tensor([[5 / 8, 1 / 2, 2 / 3]], dtype=torch.float64))


def test_the_gates_of_both_modalities_are_explained_and_sum_to_one() -> None:
    net, (_, batch) = fusion("gmu").eval(), four_clips()
    gates_BM = net(batch).explain["gates"]
    assert gates_BM.shape == (4, 2)
    torch.testing.assert_close(gates_BM.sum(dim=1), torch.ones(4))
