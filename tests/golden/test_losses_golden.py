"""Loss values of cases computed by hand in rationals and logarithms; float64, so that 12 digits must agree."""

from __future__ import annotations

import math

import pytest
import torch

from foalnet.nets import MatchLogits
from foalnet.nets.losses import hard_negatives, similarity
from tests.support.losses import avel_of, mem_of

EXACT = {"rtol": 0.0, "atol": 1e-12}


def logs(rows: list[list[float]]) -> torch.Tensor:
    """A similarity matrix with the softmax equal to each row divided by its sum."""
    return torch.tensor(rows, dtype=torch.float64).log()


def assert_is(actual: torch.Tensor, expected: float) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_t68_avel_2x2_two_labels() -> None:
    # Rows: softmax (3/4, 1/4), own entry 3/4 -> ln(4/3); (2/3, 1/3), own entry 1/3 -> ln 3. Mean: ln(4)/2 = ln 2.
    # Columns: (3/5, 2/5), own 3/5 -> ln(5/3); (1/2, 1/2), own 1/2 -> ln 2. Mean: ln(10/3)/2.
    assert_is(avel_of(logs([[3, 1], [2, 1]]), torch.tensor([0, 1])), (math.log(2) + math.log(10 / 3) / 2) / 2)


def test_t68_avel_2x2_one_label() -> None:
    # Both entries of a row are positives, and the mean of their log-softmax counts, not the sum.
    # Rows (3/4, 1/4) -> (ln(4/3) + ln 4)/2; (2/3, 1/3) -> (ln(3/2) + ln 3)/2. Mean: ln(4/3 * 4 * 3/2 * 3)/4 = ln(24)/4.
    # Columns: (3/5, 2/5) -> (ln(5/3) + ln(5/2))/2; (1/2, 1/2) -> ln 2. Mean: ln(25/6)/4 + ln(2)/2.
    rows, columns = math.log(24) / 4, math.log(25 / 6) / 4 + math.log(2) / 2
    assert_is(avel_of(logs([[3, 1], [2, 1]]), torch.tensor([5, 5])), (rows + columns) / 2)


def test_t68_avel_4x4_with_a_repeated_label() -> None:
    sim_BB = logs([[1, 1, 1, 1], [2, 4, 1, 1], [1, 1, 6, 2], [3, 1, 1, 5]])
    # Labels 0 0 1 2: rows 0 and 1 have the positives {0, 1}.
    # Row 0: every entry 1/4 -> ln 4. Row 1: 2/8 and 4/8 -> (ln 4 + ln 2)/2 = 3/2 ln 2. Row 2: 6/10 -> ln(5/3).
    # Row 3: 5/10 -> ln 2.
    rows = (2 * math.log(2) + 1.5 * math.log(2) + math.log(5 / 3) + math.log(2)) / 4
    # Column 0 (1 2 1 3)/7: (ln 7 + ln(7/2))/2. Column 1 (1 4 1 1)/7: (ln 7 + ln(7/4))/2. Column 2 (1 1 6 1)/9: ln(9/6).
    # Column 3 (1 1 2 5)/9: ln(9/5).
    columns = ((math.log(7) + math.log(7 / 2)) / 2 + (math.log(7) + math.log(7 / 4)) / 2 + math.log(1.5 * 1.8)) / 4
    assert_is(avel_of(sim_BB, torch.tensor([0, 0, 1, 2])), (rows + columns) / 2)


def test_t68_similarity_is_the_scaled_cosine() -> None:
    audio_BE = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    video_BE = torch.tensor([[0.0, 1.0], [0.8, 0.6]], dtype=torch.float64)
    # a0.v0 = 0, a0.v1 = 0.8, a1.v0 = 0.8, a1.v1 = 0.48 + 0.48 = 0.96; times 10.
    expected = torch.tensor([[0.0, 8.0], [8.0, 9.6]], dtype=torch.float64)
    torch.testing.assert_close(similarity(audio_BE, video_BE, torch.tensor(10.0)), expected, **EXACT)


def pairs(matched: list[list[float]], negative: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    return logs(matched), logs(negative)


def test_t68_mem_of_two_pairs() -> None:
    # Audio: matched pairs say "same" with 3/4 and 1/2 -> ln(4/3), ln 2; negatives say "not" with 4/5 and 1/2
    # -> ln(5/4), ln 2. Mean of the four: ln(4/3 * 2 * 5/4 * 2)/4 = ln(20/3)/4.
    # Video: 1/2, 2/3 and 1/3, 1/2 -> ln 2, ln(3/2), ln 3, ln 2. Mean: ln(2 * 3/2 * 3 * 2)/4 = ln(18)/4.
    audio = pairs([[1, 3], [1, 1]], [[4, 1], [1, 1]])
    video = pairs([[1, 1], [1, 2]], [[1, 2], [1, 1]])
    logits = MatchLogits(
        audio_matched_B2=audio[0], audio_negative_B2=audio[1], video_matched_B2=video[0], video_negative_B2=video[1]
    )
    both = torch.tensor([True, True])
    assert_is(mem_of(logits, both, both), (math.log(20 / 3) + math.log(18)) / 8)
    # The second audio row has no negative: both its pairs are left out. Audio: (ln(4/3) + ln(5/4))/2 = ln(5/3)/2.
    assert_is(mem_of(logits, torch.tensor([True, False]), both), (math.log(5 / 3) / 2 + math.log(18) / 4) / 2)


def test_t68_mem_of_four_pairs() -> None:
    # Audio: own 1/2 1/2 3/4 1/4 -> ln 2, ln 2, ln(4/3), ln 4; negatives 1/2 2/3 1/2 1/3 -> ln 2, ln(3/2), ln 2, ln 3.
    # Product: 2 * 2 * 4/3 * 4 * 2 * 3/2 * 2 * 3 = 384. Eight pairs.
    audio = pairs([[1, 1], [1, 1], [1, 3], [3, 1]], [[1, 1], [2, 1], [1, 1], [1, 2]])
    # Video: every answer 1/2 -> ln 2.
    video = pairs([[1, 1]] * 4, [[7, 7]] * 4)
    logits = MatchLogits(
        audio_matched_B2=audio[0], audio_negative_B2=audio[1], video_matched_B2=video[0], video_negative_B2=video[1]
    )
    all_rows = torch.ones(4, dtype=torch.bool)
    assert_is(mem_of(logits, all_rows, all_rows), (math.log(384) / 8 + math.log(2)) / 2)


def test_t68_the_one_candidate_is_drawn() -> None:
    index_B, has_B = hard_negatives(logs([[9, 1], [1, 9]]), torch.tensor([0, 1]))
    assert index_B.tolist() == [1, 0] and has_B.tolist() == [True, True]
    # Labels 0 0 0 1: rows 0 to 2 can only draw 3; row 3 draws by its own row, here all weight on column 1.
    sim_BB = torch.tensor([[0.0, 0, 0, 0]] * 3 + [[-200.0, 0, -200, 50]], dtype=torch.float64)
    index_B, has_B = hard_negatives(sim_BB, torch.tensor([0, 0, 0, 1]))
    assert index_B.tolist() == [3, 3, 3, 1] and bool(has_B.all())


@pytest.mark.parametrize("label", [[4], [2, 2], [0, 0, 0]])
def test_t67_one_class_has_no_negative_and_is_not_filled_with_positives(label: list[int]) -> None:
    size = len(label)
    index_B, has_B = hard_negatives(torch.zeros(size, size), torch.tensor(label))
    assert index_B.tolist() == list(range(size)) and not has_B.any()
