"""The released code's losses and attention on cases computed by hand; float64, so that 12 digits must agree."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from foalnet.config.blocks import Train
from foalnet.nets.attention import CrossAttention
from foalnet.nets.init import normal_
from foalnet.nets.losses import released_negatives, similarity
from foalnet.train.optim import optimizer
from tests.support.losses import avel_of

EXACT = {"rtol": 0.0, "atol": 1e-12}


def logs(rows: list[list[float]]) -> Tensor:
    """A similarity matrix with the softmax equal to each row divided by its sum."""
    return torch.tensor(rows, dtype=torch.float64).log()


def assert_is(actual: Tensor, expected: float) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_t68_sum_of_positives_2x2() -> None:
    # Labels differ: one positive a row, so sum and mean agree: (ln 2 + ln(10/3)/2) / 2 as for the mean.
    assert_is(avel_of(logs([[3, 1], [2, 1]]), torch.tensor([0, 1]), "sum"), (math.log(2) + math.log(10 / 3) / 2) / 2)
    # One label: rows (3/4, 1/4) -> ln(4/3) + ln 4; (2/3, 1/3) -> ln(3/2) + ln 3. Mean: ln(4/3 * 4 * 3/2 * 3)/2.
    # Columns (3/5, 2/5) -> ln(5/3) + ln(5/2); (1/2, 1/2) -> 2 ln 2. Mean: ln(25/6)/2 + ln 2.
    rows, columns = math.log(24) / 2, math.log(25 / 6) / 2 + math.log(2)
    assert_is(avel_of(logs([[3, 1], [2, 1]]), torch.tensor([5, 5]), "sum"), (rows + columns) / 2)


def test_t68_sum_of_positives_4x4() -> None:
    sim_BB = logs([[1, 1, 1, 1], [2, 4, 1, 1], [1, 1, 6, 2], [3, 1, 1, 5]])
    # Labels 0 0 1 2: rows 0 and 1 have the positives {0, 1}, both counted whole.
    # Row 0: 2 ln 4. Row 1: ln 4 + ln 2. Row 2: ln(5/3). Row 3: ln 2.
    rows = (4 * math.log(2) + 3 * math.log(2) + math.log(5 / 3) + math.log(2)) / 4
    # Column 0 (1 2 1 3)/7: ln 7 + ln(7/2). Column 1 (1 4 1 1)/7: ln 7 + ln(7/4). Columns 2, 3: ln(3/2), ln(9/5).
    columns = (math.log(7) + math.log(7 / 2) + math.log(7) + math.log(7 / 4) + math.log(1.5 * 1.8)) / 4
    assert_is(avel_of(sim_BB, torch.tensor([0, 0, 1, 2]), "sum"), (rows + columns) / 2)


def test_t68_the_divisor() -> None:
    audio_BE = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    video_BE = torch.tensor([[0.0, 1.0], [0.8, 0.6]], dtype=torch.float64)
    # Cosines 0, 0.8, 0.8, 0.96, each divided by 2.
    expected = torch.tensor([[0.0, 0.4], [0.4, 0.48]], dtype=torch.float64)
    divided = similarity(audio_BE, video_BE, torch.tensor(2.0, dtype=torch.float64).reciprocal())
    torch.testing.assert_close(divided, expected, **EXACT)


def test_t67_one_class_draws_among_all_alike() -> None:
    torch.manual_seed(0)
    label_B = torch.tensor([7, 7])
    # Both scores are replaced by -10000, so a row that prefers its first column a million to one draws evenly.
    drawn = torch.stack([released_negatives(logs([[1e6, 1], [1e6, 1]]), label_B, label_B) for _ in range(2000)])
    # Four standard errors of a share of 1/2 among 4000 draws are 0.032.
    assert abs(float(drawn.double().mean()) - 0.5) < 0.032
    assert released_negatives(torch.zeros(1, 1), torch.tensor([3]), torch.tensor([3])).tolist() == [0]


def test_t68_the_one_candidate_is_drawn_row_by_row() -> None:
    label_B = torch.tensor([0, 0, 1])
    assert released_negatives(logs([[9, 9, 1]] * 3)[:2], label_B[:2], label_B).tolist() == [2, 2]
    # One number of the stream a row, in the order of the rows: the next draw of a caller is what it was.
    sim_BB, label_B = logs([[1, 2, 3], [3, 1, 2], [1, 1, 4]]), torch.tensor([0, 1, 2])
    torch.manual_seed(9)
    drawn = released_negatives(sim_BB, label_B, label_B)
    torch.manual_seed(9)
    weights = [[0, 2 / 5, 3 / 5], [3 / 5, 0, 2 / 5], [1 / 2, 1 / 2, 0]]
    expected = [int(torch.multinomial(torch.tensor(row, dtype=torch.float32), 1)) for row in weights]
    assert drawn.tolist() == expected


@pytest.mark.parametrize("masking", ["exact", "minus_10000"])
def test_t68_attention_of_one_query_over_two_keys(masking: str) -> None:
    attention = plain_attention(masking)
    query_BTD = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    keys_BSE = torch.tensor([[[math.sqrt(2) * math.log(3), 0.0], [0.0, 4.0], [50.0, 50.0]]], dtype=torch.float64)
    mask_BS = torch.tensor([[True, True, False]])
    # Scores q.k / sqrt(2) = ln 3 and 0: weights 3/4 and 1/4. Context (3/4 sqrt(2) ln 3, 1), doubled by the output, plus
    # bias (0, 1): (x, y) = (1 + 3/2 sqrt(2) ln 3, 3). Of two numbers LayerNorm leaves -1 and 1, up to its epsilon.
    x, y = 1 + 1.5 * math.sqrt(2) * math.log(3), 3.0
    half = (x - y) / 2
    expected = half / math.sqrt(half**2 + 1e-5)
    actual = attention(query_BTD, keys_BSE, mask_BS)[0, 0]
    torch.testing.assert_close(actual, torch.tensor([expected, -expected], dtype=torch.float64), **EXACT)


def test_t68_without_a_valid_key_the_released_code_attends_to_padding() -> None:
    query_BTD = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    keys_BSE = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]], dtype=torch.float64)
    none_BS = torch.zeros(1, 2, dtype=torch.bool)
    # All scores are -10000: weights 1/2 each. Context (2, 1), output (4, 2) + (0, 1), query added: (5, 3).
    released = plain_attention("minus_10000")(query_BTD, keys_BSE, none_BS)[0, 0]
    scale = 1 / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(released, torch.tensor([scale, -scale], dtype=torch.float64), **EXACT)
    # Corrected: nothing is added to the query (1, 0).
    exact = plain_attention("exact")(query_BTD, keys_BSE, none_BS)[0, 0]
    scale = 0.5 / math.sqrt(0.25 + 1e-5)
    torch.testing.assert_close(exact, torch.tensor([scale, -scale], dtype=torch.float64), **EXACT)


def plain_attention(masking: str) -> CrossAttention:
    """One head of width 2: queries, keys and values as they are, output doubled plus (0, 1)."""
    attention = CrossAttention(2, 2, heads=1, dropout=0.0, masking=masking).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for part in (attention.query, attention.key, attention.value, attention.out):
            part.weight.copy_(torch.eye(2))
            part.bias.zero_()
        attention.out.weight.mul_(2)
        attention.out.bias.copy_(torch.tensor([0.0, 1.0]))
    return attention


def test_new_layers_start_as_the_encoders_library_does() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 300), nn.LayerNorm(300), nn.Linear(300, 300, bias=False))
    with torch.no_grad():
        net[1].weight.fill_(5.0)
        net[1].bias.fill_(5.0)
    normal_(net)
    for part in (net[0], net[2]):
        # 90,000 numbers: four standard errors of the deviation are 0.02 * 4 / sqrt(180000) = 0.0002.
        assert (
            abs(float(part.weight.detach().std()) - 0.02) < 0.0002 and abs(float(part.weight.detach().mean())) < 0.0003
        )
    assert bool((net[0].bias == 0).all() and (net[1].weight == 1).all() and (net[1].bias == 0).all())


@pytest.mark.parametrize(("decay_on", "decayed"), [("weights", 1), ("all", 4)])
def test_what_decays(decay_on: str, decayed: int) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    params = Train.model_validate({"decay_on": decay_on, "weight_decay": 0.5})
    groups = optimizer(net, params).param_groups
    assert sum(len(group["params"]) for group in groups if group["weight_decay"] == 0.5) == decayed
    assert sum(len(group["params"]) for group in groups) == 4
