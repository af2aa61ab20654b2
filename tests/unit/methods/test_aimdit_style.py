"""The maps: an Inception block by hand, rows of modalities and of periods, answers that no neighbour changes."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.core.errors import UsageError
from foalnet.methods.aimdit_style import Inception
from tests.support.fusions import ALL, alone, four, fusion, padded

FOLDS = ("modality", "period")


class Seen(nn.Module):
    """Returns each cell's row times 100 plus its column, and keeps the shape of the map."""

    def forward(self, map_BRSD: Tensor) -> Tensor:
        self.shape = tuple(map_BRSD.shape)
        row_R1, column_S = torch.arange(map_BRSD.shape[1])[:, None], torch.arange(map_BRSD.shape[2])
        return (100.0 * row_R1 + column_S)[None, :, :, None].expand_as(map_BRSD)


def test_the_inception_block_averages_three_sizes_with_zeros_around_the_map() -> None:
    block = Inception(1, 1).double()
    with torch.no_grad():
        for conv in (*block.narrow, *block.widen):
            conv.weight.fill_(1.0)
            conv.bias.zero_()
        block.widen[1].weight.zero_()
        block.widen[2].weight.zero_()
    map_BRSD = torch.ones(1, 2, 3, 1, dtype=torch.float64)
    # At a corner of the 2 x 3 map the sums over 1, 3 and 5 squared are 1, 4 and 6, in its middle column 1, 6 and 6.
    corner, middle = F.gelu(torch.tensor([11 / 3, 13 / 3], dtype=torch.float64)) / 3
    expected_RS = torch.stack([corner, middle, corner]).expand(2, 3)
    torch.testing.assert_close(block(map_BRSD)[0, ..., 0], expected_RS)


def test_rows_of_the_map_are_the_modalities() -> None:
    maps = fusion("aimdit_style").maps
    maps.block, maps.join = Seen(), nn.Identity()
    rows, explain = maps({modality: torch.zeros(2, 8, 1) for modality in ALL})
    assert maps.block.shape == (2, 3, 8, 1) and explain == {}
    assert [rows[modality][1, :3, 0].tolist() for modality in ALL] == [[0, 1, 2], [100, 101, 102], [200, 201, 202]]
    torch.testing.assert_close(rows["joined"], torch.cat([rows[modality] for modality in ALL], dim=2))


def test_rows_of_a_map_are_periods_weighted_by_the_sequence() -> None:
    maps = fusion("aimdit_style", ["audio", "video"], fold="period").maps
    maps.join = nn.Linear(2, 1)
    for name in ("audio", "video", "joined"):
        maps.block[name], maps.weigh[name] = Seen(), nn.Linear(1, 2)
    with torch.no_grad():
        maps.weigh["audio"].weight.zero_()
        maps.weigh["audio"].bias.copy_(torch.tensor([-100.0, 100.0]))
    after, explain = maps({"audio": torch.ones(1, 16, 1), "video": torch.zeros(1, 16, 1)})
    assert maps.block["audio"].shape == (1, 2, 8, 1)
    # All weight is on the period of 8: segment 9 is in row 1, column 1.
    torch.testing.assert_close(explain["periods_audio"], torch.tensor([[0.0, 1.0]]))
    assert after["audio"][0, 9, 0].item() == 102.0
    assert set(explain) == {"periods_audio", "periods_video", "periods_joined"}


@pytest.mark.parametrize(("fold", "inputs"), itertools.product(FOLDS, [*itertools.combinations(ALL, 2), ALL]))
def test_neither_padding_nor_neighbours_change_an_answer(fold: str, inputs: tuple[str, ...]) -> None:
    net, batch = fusion("aimdit_style", inputs, fold=fold).eval(), four()
    together = net(batch)
    torch.testing.assert_close(net(padded(batch, 9)).logits_BC, together.logits_BC, rtol=0, atol=1e-5)
    for row in range(4):
        one = net(alone(batch, row))
        torch.testing.assert_close(one.logits_BC[0], together.logits_BC[row], rtol=0, atol=1e-5)
        for name, weight_BP in one.explain.items():
            torch.testing.assert_close(weight_BP[0], together.explain[name][row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("fold", FOLDS)
def test_every_parameter_gets_a_gradient(fold: str) -> None:
    net, batch = fusion("aimdit_style", fold=fold).train(), four()
    F.cross_entropy(net(batch).logits_BC, batch.label_B).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_segments_that_no_period_divides_and_heads_that_cut_no_width_are_refused() -> None:
    with pytest.raises(UsageError, match="multiple of 8"):
        fusion("aimdit_style", segments=12)
    with pytest.raises(UsageError, match="cannot be cut into 3"):
        fusion("aimdit_style", heads=3)
