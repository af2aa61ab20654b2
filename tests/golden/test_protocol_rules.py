"""Each protocol's choice of an epoch on hand-made logits: the part that it may use, the first of a tie."""

from __future__ import annotations

import numpy as np
import pytest

from foalnet.stages.evaluate.scoring import FoldLogits, choose

# Classes 0, 1; four utterances a part, two of each class.
LABELS = {"d1": 0, "d2": 0, "d3": 1, "d4": 1, "t1": 0, "t2": 0, "t3": 1, "t4": 1}


def logits(*epochs: str) -> np.ndarray:
    """Logits [E, N, C] that give the classes spelled: "0011" is right four times in four."""
    return np.array([[[1.0, 0.0] if c == "0" else [0.0, 1.0] for c in epoch] for epoch in epochs], np.float32)


def fold(dev: np.ndarray | None, test: np.ndarray) -> FoldLogits:
    parts = {"test": test} if dev is None else {"dev": dev, "test": test}
    return FoldLogits(
        name="Session1", keys={part: tuple(f"{part[0]}{i}" for i in range(1, 5)) for part in parts}, logits_ENC=parts
    )


# UA of the test part by epoch: 0.5, 0.75, 1.0, 1.0, 0.75.
TEST = logits("0000", "0010", "0011", "0011", "0111")


@pytest.mark.parametrize(
    ("protocol", "epoch", "looked_at"),
    [
        ("loso_fixed_epochs", 4, {}),
        ("paper_best_on_test", 2, {"test_ua_by_epoch": [0.5, 0.75, 1.0, 1.0, 0.75]}),
    ],
)
def test_the_four_session_rules(protocol: str, epoch: int, looked_at: dict[str, list[float]]) -> None:
    assert choose(protocol, fold(None, TEST), LABELS) == (epoch, looked_at)


def test_the_dev_rule_takes_the_first_of_a_tie_and_never_the_test_part() -> None:
    dev = logits("0111", "1100", "0001", "0111", "0000")
    # 0.75, 0.0, 0.75, 0.75, 0.5: the first and the third tie.
    assert choose("loso_dev_session", fold(dev, TEST), LABELS) == (0, {"dev_ua_by_epoch": [0.75, 0.0, 0.75, 0.75, 0.5]})


@pytest.mark.parametrize("protocol", ["loso_dev_session", "loso_fixed_epochs"])
def test_only_the_papers_rule_moves_with_the_test_labels(protocol: str) -> None:
    other = LABELS | {"t1": 1, "t2": 1, "t3": 0, "t4": 0}
    both = fold(logits("0011", "0000", "0000", "0000", "0000"), TEST)
    assert choose(protocol, both, LABELS) == choose(protocol, both, other)
    assert choose("paper_best_on_test", both, LABELS)[0] == 2
    assert choose("paper_best_on_test", both, other)[0] == 0


def test_ua_chooses_and_not_the_share_that_is_right() -> None:
    """Three of class 0, one of class 1: WA prefers the first epoch (3 of 4), UA the second (2/3 and 1)."""
    labels = {"t1": 0, "t2": 0, "t3": 0, "t4": 1}
    chosen = choose("paper_best_on_test", fold(None, logits("0000", "0011")), labels)
    assert chosen == (1, {"test_ua_by_epoch": [0.5, 0.833333]})
