"""Scores a method's own tasks on utterances of speakers that it never met: retrieval and matching, beside chance.

Retrieval: the pictures of a fold's other utterances are ranked by their similarity to a sound (and the reverse); those
of the sound's class are right. Its own picture is left out there; `own_pair` counts whether it is the nearest of all.
Matching: a pair is called one emotion or two; the accuracy is the mean of the share of own pairs called one and of
foreign pairs of two classes called two. Source: docs/method.md, "Do the auxiliary tasks learn?".
Shape letters: R utterances with a picture, P projection, K partners of each, V views of a pair, Q places of a ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from foalnet.evidence.metrics import rounded

# What an answer that knows nothing reaches.
MATCHING_CHANCE = 0.5
DIRECTIONS = ("sound_to_picture", "picture_to_sound")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A fold's answers (foalnet.train.own_tasks) with the class numbers of its utterances; None: not such a task."""

    label_R: np.ndarray
    audio_RP: np.ndarray | None = None
    video_RP: np.ndarray | None = None
    partner_RK: np.ndarray | None = None
    own_RV: np.ndarray | None = None
    foreign_RKV: np.ndarray | None = None

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], label_N: np.ndarray) -> Self:
        """Return the stored answers of a fold with its test part's class numbers."""
        aligned, matched = "audio" in tensors, "own" in tensors
        return cls(
            label_R=label_N[tensors["row"]],
            audio_RP=tensors["audio"] if aligned else None,
            video_RP=tensors["video"] if aligned else None,
            partner_RK=tensors["partner"] if matched else None,
            own_RV=tensors["own"] if matched else None,
            foreign_RKV=tensors["foreign"] if matched else None,
        )


def own_task_scores(folds: Sequence[Answers]) -> dict[str, Any]:
    """Return the scores of all folds: means over their utterances or pairs; {} for a method without own tasks.

    Embeddings of two folds come from two networks, so that utterances are ranked within their fold.
    """
    result: dict[str, Any] = {}
    for place, name in enumerate(DIRECTIONS):
        rows = [
            retrieval(*((each.audio_RP, each.video_RP) if place == 0 else (each.video_RP, each.audio_RP)), each.label_R)
            for each in folds
            if each.audio_RP is not None and each.video_RP is not None
        ]
        if rows:
            result.setdefault("retrieval", {})[name] = {
                key: _known_mean(np.concatenate([row[key] for row in rows])) for key in rows[0]
            }
    if parts := [matching(each) for each in folds if each.own_RV is not None]:
        result["matching"] = _matching(parts)
    return result


def _known_mean(value_N: np.ndarray) -> float | None:
    known_N = value_N[~np.isnan(value_N)]
    return rounded(known_N.mean()) if len(known_N) else None


def retrieval(query_RP: np.ndarray, candidate_RP: np.ndarray, label_R: np.ndarray) -> dict[str, np.ndarray]:
    """Return by name the scores of every query [R], NaN for one without another utterance of its class.

    `p_at_1`: whether the first is of its class; `map`: its average precision; `own_pair`: whether of all its own is the
    nearest; `chance_…`: what a random order can expect. Of equally near ones the first comes first.

    >>> sound_RP = picture_RP = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> {key: value.tolist() for key, value in retrieval(sound_RP, picture_RP, np.array([0, 0, 1])).items()}["p_at_1"]
    [1.0, 1.0, nan]
    """
    similarity_RR = query_RP.astype(np.float64) @ candidate_RP.astype(np.float64).T
    size = len(label_R)
    own_R = (similarity_RR.argmax(axis=1) == np.arange(size)).astype(float)
    np.fill_diagonal(similarity_RR, -np.inf)
    order_RQ = np.argsort(-similarity_RR, axis=1, kind="stable")[:, :-1]
    right_RQ = label_R[order_RQ] == label_R[:, None]
    count_R = right_RQ.sum(axis=1)
    known_R = np.where(count_R > 0, 1.0, np.nan)
    place_Q = np.arange(1, size)
    precision_RQ = right_RQ.cumsum(axis=1) / place_Q
    others = size - 1
    harmonic = float((1.0 / place_Q).sum())
    # The mean average precision over all orders of `others` utterances, of which `count` are right.
    chance_R = (harmonic + (others - harmonic) * (count_R - 1) / max(1, others - 1)) / others
    return {
        "p_at_1": right_RQ[:, 0] * known_R,
        "map": (precision_RQ * right_RQ).sum(axis=1) / np.maximum(1, count_R) * known_R,
        "own_pair": own_R,
        "chance_p_at_1": count_R / others * known_R,
        "chance_map": chance_R * known_R,
        "chance_own_pair": np.full(size, 1 / size),
    }


def matching(answers: Answers) -> dict[str, tuple[int, int]]:
    """Return (right, all) of the answers to own pairs, to foreign pairs of two classes, and to those of one class."""
    assert answers.own_RV is not None
    assert answers.partner_RK is not None
    assert answers.foreign_RKV is not None
    same_RK = answers.label_R[answers.partner_RK] == answers.label_R[:, None]
    one_RKV = answers.foreign_RKV > 0
    return {
        "own": (int((answers.own_RV > 0).sum()), answers.own_RV.size),
        "foreign": (int((~one_RKV[~same_RK]).sum()), one_RKV[~same_RK].size),
        "same_class": (int(one_RKV[same_RK].sum()), one_RKV[same_RK].size),
    }


def _matching(parts: Sequence[Mapping[str, tuple[int, int]]]) -> dict[str, Any]:
    """Return the shares over all folds; a share of nothing is None."""
    shares: dict[str, Any] = {}
    for name in parts[0]:
        right, count = (sum(part[name][place] for part in parts) for place in (0, 1))
        shares[name] = rounded(right / count) if count else None
    both = shares["own"] is not None and shares["foreign"] is not None
    accuracy = rounded((shares["own"] + shares["foreign"]) / 2) if both else None
    return {"accuracy": accuracy, "chance": MATCHING_CHANCE, **shares}
