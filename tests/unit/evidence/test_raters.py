"""Raters' agreement, soft labels and the held-out rater, against figures worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foalnet.evidence.raters import ceiling, class_of, shares, soft_cross_entropy, unanimous

CLASSES = {"happy": ["hap", "exc"], "sad": ["sad"], "angry": ["angry"]}


def votes(*named: str) -> list[tuple[str, list[str]]]:
    """Raters, each with votes divided by a comma."""
    return [(f"R{place}", one.split(",") if one else []) for place, one in enumerate(named)]


def test_a_vote_names_the_class_of_the_longest_raw_label_that_it_begins_with() -> None:
    assert [class_of(vote, CLASSES) for vote in ("Excited", "ANGRY", "anger", "Neutral")] == ["happy", "angry", "", ""]
    assert class_of("sadistic", {"sad": ["sad"], "cruel": ["sadist"]}) == "cruel"


def test_several_votes_of_a_rater_share_its_weight() -> None:
    assert shares(votes("Happiness", "Excited,Sadness", ""), CLASSES) == {"happy": 0.75, "sad": 0.25}
    assert shares(votes(""), CLASSES) == {}
    assert unanimous(votes("Happiness", "Excited"), CLASSES) is True
    assert unanimous(votes("Happiness", "Excited,Sadness"), CLASSES) is False
    assert unanimous(votes("Fear", "Fear"), CLASSES) is False, "they agree on no class of the experiment"
    assert unanimous(votes("Happiness", ""), CLASSES) is None


def test_soft_cross_entropy_is_least_at_the_votes_themselves() -> None:
    share_NC = np.array([[0.75, 0.25], [0.5, 0.5]])
    entropy = (-0.75 * math.log(0.75) - 0.25 * math.log(0.25) + math.log(2)) / 2
    assert soft_cross_entropy(share_NC, share_NC) == pytest.approx((entropy, entropy))
    worse, least = soft_cross_entropy(np.array([[0.25, 0.75], [0.5, 0.5]]), share_NC)
    assert worse == pytest.approx((-0.75 * math.log(0.25) - 0.25 * math.log(0.75) + math.log(2)) / 2)
    assert least == pytest.approx(entropy)


def test_the_held_out_rater_against_the_majority_of_the_others() -> None:
    two = [votes("Happiness", "Excited", "Happiness"), votes("Sadness", "Sadness", "Sadness", "Fear")]
    one = ceiling(two, CLASSES)
    # The first: three right for happy. The second: each sad rater faces 2 sad, 1 other: right; the fourth is wrong.
    assert one is not None and (one.utterances, one.judgements) == (2, 7)
    assert one.ua == pytest.approx((1 + 3 / 4) / 2) and one.wa == pytest.approx(6 / 7)
    # A rater of two votes is half right.
    half = ceiling([votes("Sadness,Fear", "Sadness", "Sadness")], CLASSES)
    # Held out R1 faces half sad + half fear and one sad: sad wins.
    assert half is not None and half.wa == pytest.approx((0.5 + 1 + 1) / 3)
    assert ceiling([votes("Sadness", "Sadness"), votes("Fear", "Fear", "Fear")], CLASSES) is None
