"""Raters: how far they agree, how predictions fit their votes, and how well one rater fits the others.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.evidence.probabilities import LEAST

# A rater (name, votes): several votes of a rater share its weight.
Votes = Sequence[tuple[str, Sequence[str]]]
# The others of a rater who is held out.
FEWEST_OTHERS = 2
OUTSIDE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """How well one rater fits the majority of the others: UA and WA over all utterances and raters that have such."""

    ua: float
    wa: float
    utterances: int
    judgements: int


def class_of(vote: str, classes: Mapping[str, Sequence[str]]) -> str:
    """Return the class that a vote names, OUTSIDE if none: that of the longest raw label with which the vote begins.

    A raw label may be an abbreviation of the vote, as in IEMOCAP; upper and lower case are the same.

    >>> classes = {"happy": ["hap", "exc"], "sad": ["sad"]}
    >>> [class_of(vote, classes) for vote in ("Happiness", "sad", "Frustration")]
    ['happy', 'sad', '']
    """
    raws = {raw.lower(): name for name, each in classes.items() for raw in each}
    fitting = [raw for raw in raws if vote.lower().startswith(raw)]
    return raws[max(fitting, key=len)] if fitting else OUTSIDE


def shares(votes: Votes, classes: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return class (or OUTSIDE) -> the raters' share, 1 in all; {} without a vote.

    >>> shares([("E1", ["Sadness"]), ("E2", ["Sadness", "Fear"])], {"sad": ["sad"]})
    {'sad': 0.75, '': 0.25}
    """
    given = [named for _, named in votes if named]
    weights: dict[str, float] = defaultdict(float)
    for named in given:
        for vote in named:
            weights[class_of(vote, classes)] += 1 / (len(named) * len(given))
    return dict(weights)


def unanimous(votes: Votes, classes: Mapping[str, Sequence[str]]) -> bool | None:
    """Return whether all raters name one class and no other; None for fewer than two raters.

    >>> unanimous([("E1", ["Sadness"]), ("E2", ["Fear"])], {"sad": ["sad"]})
    False
    """
    if sum(bool(named) for _, named in votes) < FEWEST_OTHERS:
        return None
    every = shares(votes, classes)
    return len(every) == 1 and OUTSIDE not in every


def soft_cross_entropy(probability_NC: np.ndarray, share_NC: np.ndarray) -> tuple[float, float]:
    """Return the mean cross-entropy of probabilities with the votes' shares, and the least that any could have (nats).

    The least is the entropy of the shares. Rows of both sum to 1.

    >>> a, b = soft_cross_entropy(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    >>> round(a, 4), round(b, 4)  # log 2; (0 + log 2) / 2
    (0.6931, 0.3466)
    """
    cross_N = -(share_NC * np.log(np.clip(probability_NC, LEAST, 1.0))).sum(axis=1)
    own_N = -(share_NC * np.log(np.clip(share_NC, LEAST, 1.0))).sum(axis=1)
    return float(cross_N.mean()), float(own_N.mean()) + 0.0


def ceiling(votes: Sequence[Votes], classes: Mapping[str, Sequence[str]]) -> Ceiling | None:
    """Return how well a rater fits the majority of at least two others; None where no utterance allows it.

    A majority is the class with more votes than any other and than votes for no class. A rater of several votes is
    right by the share of them that name it.

    >>> classes = {"sad": ["sad"], "glad": ["glad"]}
    >>> ceiling([[("a", ["sad"]), ("b", ["sad"]), ("c", ["glad"])]], classes)  # a and b face a tie; c is wrong
    Ceiling(ua=0.0, wa=0.0, utterances=1, judgements=1)
    """
    right: dict[str, list[float]] = defaultdict(list)
    utterances = 0
    for each in votes:
        before = sum(map(len, right.values()))
        for place, (_, named) in enumerate(each):
            others = [*each[:place], *each[place + 1 :]]
            if named and sum(bool(one) for _, one in others) >= FEWEST_OTHERS:
                winner = _winner(shares(others, classes))
                if winner != OUTSIDE:
                    right[winner].append(shares([("", named)], classes).get(winner, 0.0))
        utterances += sum(map(len, right.values())) > before
    if not right:
        return None
    every = [one for each in right.values() for one in each]
    ua = float(np.mean([np.mean(each) for each in right.values()]))
    return Ceiling(ua=ua, wa=float(np.mean(every)), utterances=utterances, judgements=len(every))


def _winner(weights: Mapping[str, float]) -> str:
    """Return the class of the largest share, OUTSIDE for a tie."""
    counts = Counter({name: round(weight, 9) for name, weight in weights.items()})
    (first, most), *rest = counts.most_common()
    return OUTSIDE if rest and rest[0][1] == most else first
