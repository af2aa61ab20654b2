"""Scores audited predictions: our metrics, two intervals, calibration, and the paired difference of two files.

Each value is a mean over the seeds. Shape letters: N utterances, S seeds, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from foalnet.audit.base import Case
from foalnet.audit.reference import Place
from foalnet.evidence.crossed import FEWEST_SESSIONS, LEAST_SE, over_people
from foalnet.evidence.metrics import METRICS, calibration, confusion, f1, mean_sd, rounded
from foalnet.evidence.probabilities import brier, macro_auc, nll
from foalnet.evidence.stats import Interval, Metric, difference, interval

LEVEL, RESAMPLES, PERMUTATIONS, SEED, BINS = 0.95, 2000, 10_000, 7, 10
# The bootstrap of more clusters would take minutes.
MOST_GROUPS = 2000
SCORES: tuple[Metric, ...] = ("ua", "wa")


def scores(case: Case) -> dict[str, Any]:
    """Return the metrics over all seeds, recall and F1 by class, and the confusion summed over seeds."""
    classes = case.table.order.classes
    counts = {seed: _counts(case, rows) for seed, rows in case.by_seed.items()}
    total_CC = np.sum(list(counts.values()), axis=0)
    support_C = total_CC.sum(axis=1)
    recall_C = total_CC.diagonal() / support_C.clip(min=1)
    values = {each.key: [each.value(count_CC) for count_CC in counts.values()] for each in METRICS}
    return {
        "utterances": len({case.table.key_N[row] for row in np.flatnonzero(case.scored_N)}),
        "seeds": sorted(counts),
        **{key: rounded(float(np.mean(of_seed))) for key, of_seed in values.items()},
        "seed_sd": mean_sd(values["ua"])["sd"] if len(counts) > 1 else None,
        "classes": {
            name: {
                "labels": int(support_C[at]),
                "predicted": int(total_CC[:, at].sum()),
                "recall": rounded(recall_C[at]) if support_C[at] else None,
                "f1": rounded(f1(total_CC)[at]) if support_C[at] else None,
            }
            for at, name in enumerate(classes)
        },
        "confusion": total_CC.tolist(),
    }


def _counts(case: Case, rows: np.ndarray) -> np.ndarray:
    return confusion(case.table.label_N[rows], case.predicted_N[rows], len(case.table.order.classes))


def calibrated(case: Case) -> dict[str, Any] | None:
    """Return ECE with its bins, NLL, Brier score and macro AUC of the rows with probabilities; None without any."""
    if case.probability_NC is None:
        return None
    rows = np.flatnonzero(case.scored_N & np.isfinite(case.probability_NC).all(axis=1))
    if not len(rows):
        return None
    probability_NC, label_N = case.probability_NC[rows], case.table.label_N[rows]
    area = macro_auc(probability_NC, label_N)
    return {
        "rows": len(rows),
        **calibration(probability_NC, label_N, case.predicted_N[rows], BINS),
        "nll": rounded(nll(probability_NC, label_N)),
        "brier": rounded(brier(probability_NC, label_N)),
        "macro_auc": None if area is None else rounded(area),
    }


def correctness(case: Case) -> dict[str, dict[str, float]]:
    """Return seed -> key -> whether the prediction is right."""
    key_N = case.table.key_N
    right_N = (case.table.label_N == case.predicted_N).astype(float)
    return {seed: {key_N[row]: float(right_N[row]) for row in rows} for seed, rows in case.by_seed.items()}


def common(right: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the keys that every seed has, sorted."""
    return sorted(set.intersection(*(set(of) for of in right.values())))


def label_of(case: Case) -> dict[str, str]:
    """Return key -> name of its class, of the scored rows."""
    classes = case.table.order.classes
    return {case.table.key_N[row]: classes[case.table.label_N[row]] for row in np.flatnonzero(case.scored_N)}


def recordings_of(case: Case, keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return what utterances are grouped by for the interval over recordings, and the group of each.

    Dialogues that are the utterances of one speaker each, as in corpora without dialogues, count as speakers.
    """
    places = [case.table.places[key] for key in keys]
    alone = _each_in_one((place.dialogue, place.speaker) for place in places)
    for kind in ("speaker", "dialogue", "session") if alone else ("dialogue", "speaker", "session"):
        groups = [getattr(place, kind) for place in places]
        if all(groups):
            return kind, groups
    return "utterance", list(keys)


def _few(groups: Sequence[str]) -> list[str]:
    """Return at most MOST_GROUPS groups: more are dealt to that many, which leaves the width of intervals as it is."""
    number = {name: at for at, name in enumerate(sorted(set(groups)))}
    return list(groups) if len(number) <= MOST_GROUPS else [str(number[name] % MOST_GROUPS) for name in groups]


def people_of(case: Case, keys: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the unit over which people vary, and that of each utterance; None where it is not known.

    That is sessions of several speakers, where at least three are tested and each speaker is in one; else speakers.
    """
    places = [case.table.places[key] for key in keys]
    speakers = [place.speaker for place in places if place.speaker]
    sessions = [place.session for place in places if place.session]
    if len(speakers) < len(places):
        return None
    few = FEWEST_SESSIONS <= len(set(sessions)) < len(set(speakers))
    if len(sessions) == len(places) and few and _apart(places):
        return "session", sessions
    return ("speaker", speakers) if len(set(speakers)) > 1 else None


def _each_in_one(pairs: Iterable[tuple[str | None, str | None]]) -> bool:
    """Return whether two names of each utterance divide the utterances in the same way."""
    every = set(pairs)
    return len({one for one, _ in every}) == len({other for _, other in every}) == len(every)


def _apart(places: Sequence[Place]) -> bool:
    """Return whether each speaker is in one session."""
    return len({place.speaker for place in places}) == len({(place.speaker, place.session) for place in places})


def intervals(case: Case) -> dict[str, Any]:
    """Return the interval of UA and WA over recordings, and over people and seeds, with what each is over."""
    right, labels = correctness(case), label_of(case)
    keys = common(right)
    if not keys:
        return {"recordings": None, "people": None, "why": "no utterance is scored with every seed"}
    return _over_both(case, keys, [labels[key] for key in keys], [[of[key] for key in keys] for of in right.values()])


def _over_both(
    case: Case,
    keys: Sequence[str],
    labels: Sequence[str],
    values_SN: Sequence[Sequence[float]],
    *,
    paired: bool = False,
) -> dict[str, Any]:
    """Return UA and WA of values (correctness, or the difference of two) over recordings, and over people and seeds."""
    mean_N = np.mean(np.array(values_SN), axis=0).tolist()
    kind, names = recordings_of(case, keys)
    groups = _few(names)
    least = -1.0 if paired else 0.0
    result: dict[str, Any] = {"recordings": {"over": kind, "groups": len(set(names))}, "people": None, "why": None}
    for metric in SCORES:
        inside = interval(
            mean_N, groups, labels, metric=metric, level=LEVEL, resamples=RESAMPLES, seed=SEED, bounds=(least, 1.0)
        )
        result["recordings"][metric] = _bounds(inside)
        result["recordings"]["warning"] = inside.warning
    people = people_of(case, keys)
    if people is None:
        result["why"] = "the speakers are unknown or only one: how scores vary over people cannot be said"
        return result
    unit, units = people
    result["people"] = {"over": unit, "units": len(set(units)), "seeds": len(values_SN)}
    for metric in SCORES:
        both = over_people(values_SN, units, labels, metric=metric, level=LEVEL)
        # A score that every unit and seed has equally would have an interval of no width: none is given.
        spread = both.se > LEAST_SE
        result["people"][metric] = {
            "estimate": rounded(both.estimate),
            "low": rounded(max(least, both.low)) if spread else None,
            "high": rounded(min(1.0, both.high)) if spread else None,
        } | ({"p": rounded(both.p) if spread else None} if paired else {})
    return result


def _bounds(inside: Interval) -> dict[str, Any]:
    known = bool(np.isfinite([inside.low, inside.high]).all()) and inside.clusters > 1
    return {
        "estimate": rounded(inside.estimate),
        "low": rounded(inside.low) if known else None,
        "high": rounded(inside.high) if known else None,
        "method": inside.method,
    }


def paired(a: Case, b: Case) -> dict[str, Any]:
    """Return scores of a minus those of b over utterances that both score with every seed, and McNemar's counts.

    Equal seeds are paired; where the seeds differ, correctness is averaged over them first. Utterances that have
    different classes in the two files are left out and counted.
    """
    right_a, right_b, label_a, label_b = correctness(a), correctness(b), label_of(a), label_of(b)
    both = sorted(set(common(right_a)) & set(common(right_b)))
    keys = [key for key in both if label_a[key].casefold() == label_b[key].casefold()]
    facts: dict[str, Any] = {
        "utterances": len(keys),
        "only_a": len(label_a.keys() - label_b.keys()),
        "only_b": len(label_b.keys() - label_a.keys()),
        "labels_differ": len(both) - len(keys),
        "seeds_paired": right_a.keys() == right_b.keys(),
        "identical": _answers(a) == _answers(b),
    }
    if not keys:
        return facts
    if facts["seeds_paired"]:
        pairs = [(right_a[seed], right_b[seed]) for seed in right_a]
    else:
        pairs = [(_mean(right_a, keys), _mean(right_b, keys))]
    of, groups = [label_a[key] for key in keys], _few(recordings_of(a, keys)[1])
    gaps_SN = [[one[key] - other[key] for key in keys] for one, other in pairs]
    facts |= _over_both(a, keys, of, gaps_SN, paired=True)
    for metric in SCORES:
        gap = difference(
            [float(np.mean([one[key] for one, _ in pairs])) for key in keys],
            [float(np.mean([other[key] for _, other in pairs])) for key in keys],
            groups,
            of,
            metric=metric,
            level=LEVEL,
            resamples=RESAMPLES,
            permutations=PERMUTATIONS,
            seed=SEED,
        )
        facts["recordings"][metric] |= {"p": rounded(gap.p), "decided": gap.decided}
    facts["mcnemar"] = [
        {"a": seed_a, "b": seed_b, **_mcnemar([right_a[seed_a][k] for k in keys], [right_b[seed_b][k] for k in keys])}
        for seed_a, seed_b in zip(sorted(right_a), sorted(right_b), strict=False)
    ]
    return facts


def _answers(case: Case) -> dict[tuple[str, str], str]:
    """Return (seed, key) -> predicted class."""
    classes, table = case.table.order.classes, case.table
    rows = np.flatnonzero(case.scored_N).tolist()
    return {(table.seed_N[row], table.key_N[row]): classes[case.predicted_N[row]] for row in rows}


def _mean(right: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> dict[str, float]:
    return {key: float(np.mean([of[key] for of in right.values()])) for key in keys}


def _mcnemar(a: Sequence[float], b: Sequence[float]) -> dict[str, int]:
    """Return how many utterances both, only a, only b and neither predict right.

    >>> _mcnemar([1, 1, 0, 0], [1, 0, 1, 0])
    {'both': 1, 'only_a': 1, 'only_b': 1, 'neither': 1}
    """
    counts = {(x, y): 0 for x in (0, 1) for y in (0, 1)}
    for one, other in zip(a, b, strict=True):
        counts[int(one), int(other)] += 1
    return {"both": counts[1, 1], "only_a": counts[1, 0], "only_b": counts[0, 1], "neither": counts[0, 0]}
