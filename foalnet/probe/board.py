"""The contents of probe.json: robustness, selective prediction, controls, raters and the learning curve of a corpus.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foalnet.artifact.results import Results
from foalnet.config import Params
from foalnet.config.probing import Probe
from foalnet.core.records import Utterance
from foalnet.corpora.named import folds_of
from foalnet.evidence.controls import by_majority, by_prior, permuted
from foalnet.evidence.crossed import Contrast, Crossed, as_interval, contrasts, over_people, unit_of
from foalnet.evidence.metrics import mean_sd, rounded, ua
from foalnet.evidence.raters import OUTSIDE, Votes, ceiling, shares, soft_cross_entropy, unanimous
from foalnet.evidence.selective import COVERAGES, Selective, selective
from foalnet.probe.networks import Answers

SCHEMA = 1
# Raters of CREMA-D are named after what they were shown; for acted labels those count who saw and heard the clip.
SHOWN = {"voice": "voice-", "face": "face-", "both": "both-"}


@dataclass(frozen=True, kw_only=True)
class Probed:
    """One run: its stored results, and its answers under disturbances."""

    seed: int
    results: Results
    answers: Answers


Runs = Mapping[str, Sequence[Probed]]


@dataclass(frozen=True, kw_only=True)
class People:
    """The tested utterances in their order, with labels, and the people over whom intervals are."""

    keys: Sequence[str]
    labels: Sequence[str]
    unit: str
    units: Sequence[str]
    level: float

    @classmethod
    def of(cls, run: Results, level: float) -> People:
        """Return those of a run."""
        keys = sorted(run.rows)
        sessions = {str(row["session"]) for row in run.rows.values()}
        unit = unit_of(str(run.metrics["cluster"]), folds=len(run.metrics["folds"]), sessions=sessions)
        return cls(
            keys=keys,
            labels=[str(run.rows[key]["label"]) for key in keys],
            unit=unit,
            units=[str(run.rows[key][unit]) for key in keys],
            level=level,
        )

    def right(self, predicted: Mapping[str, str]) -> list[float]:
        """Return 1.0 for each right answer, else 0.0."""
        return [float(predicted[key] == label) for key, label in zip(self.keys, self.labels, strict=True)]

    def over(self, values: Sequence[Sequence[float]]) -> Crossed:
        """Return UA, or a difference of two, over people and seeds."""
        return over_people(values, self.units, self.labels, metric="ua", level=self.level)


def stored(run: Probed) -> dict[str, str]:
    """Return the predicted class of each utterance that `evaluate` stored."""
    return {key: str(row["predicted"]) for key, row in run.results.rows.items()}


def board(
    params: Params,
    probe: Probe,
    runs: Runs,
    utterances: Sequence[Utterance],
    names: Sequence[str],
    curve: Mapping[int, Mapping[str, Sequence[Mapping[str, str]]]],
) -> dict[str, Any]:
    """Return the contents of probe.json.

    `names`: the disturbances in their order. `curve`: number of training sessions -> variant -> for each seed the
    predicted classes by key; empty without a learning curve.
    """
    first = next(iter(runs.values()))[0].results
    people = People.of(first, params.report.level)
    used = {u.key: u for u in utterances if u.used}
    return {
        "schema": SCHEMA,
        "corpus": params.corpus,
        "seeds": [run.seed for run in next(iter(runs.values()))],
        "unit": people.unit,
        "units": len(set(people.units)),
        "level": params.report.level,
        "margin": params.report.margin,
        "utterances": len(people.keys),
        "classes": list(params.manifest.classes),
        "probe": probe.model_dump(mode="json"),
        "robustness": robustness(runs, people, names, params.report.margin),
        "selective": {name: _selective(each) for name, each in runs.items()},
        "controls": controls(params, probe, runs, used, people),
        "raters": raters(params, runs, used, people),
        "learning_curve": _curve(runs, people, curve),
    }


def robustness(runs: Runs, people: People, names: Sequence[str], margin: float) -> dict[str, Any]:
    """Return for each variant its UA under each disturbance, and the paired differences to the undisturbed clips."""
    gaps: dict[str, Crossed] = {}
    variants: dict[str, dict[str, Any]] = {}
    for variant, each in runs.items():
        plain = [people.right(stored(run)) for run in each]
        rows: dict[str, Any] = {"undisturbed": _score(people.over(plain)), "reasons": dict(each[0].answers.reasons)}
        for name in (name for name in names if name not in rows["reasons"]):
            now = [people.right(run.answers.predicted[name]) for run in each]
            rows[name] = _score(people.over(now)) | {"changed": each[0].answers.changed[name]}
            gaps[f"{variant}: {name}"] = people.over(
                [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(now, plain, strict=True)]
            )
        variants[variant] = rows
    differences = {name: _difference(one) for name, one in contrasts(gaps, margin).items()}
    return {"disturbances": list(names), "variants": variants, "differences": differences}


def _score(one: Crossed) -> dict[str, float]:
    shown = as_interval(one)
    return {"ua": rounded(one.estimate), "low": rounded(shown.low), "high": rounded(shown.high)}


def _difference(one: Contrast) -> dict[str, Any]:
    """Return a row of differences; its interval is not adjusted."""
    spread = one.has_spread
    return {
        "ua": rounded(one.gap.estimate),
        "low": rounded(one.interval.low) if spread else None,
        "high": rounded(one.interval.high) if spread else None,
        "p": rounded(one.gap.p) if spread else None,
        "p_holm": rounded(one.p),
        "verdict": one.verdict,
    }


def _selective(runs: Sequence[Probed]) -> dict[str, Any]:
    """Return a variant's selective accuracy and areas, means over the seeds."""
    each: list[Selective] = []
    for run in runs:
        rows = [run.results.rows[key] for key in sorted(run.results.rows)]
        right_N = np.array([row["label"] == row["predicted"] for row in rows])
        each.append(selective(np.array([max(row["probabilities"]) for row in rows]), right_N))
    accuracy_SC = np.array([one.accuracy for one in each])
    return {
        "accuracy": {f"{100 * c:g}": rounded(a) for c, a in zip(COVERAGES, accuracy_SC.mean(axis=0), strict=True)},
        **{name: rounded(float(np.mean([getattr(one, name) for one in each]))) for name in ("aurc", "best", "random")},
    }


def controls(params: Params, probe: Probe, runs: Runs, used: Mapping[str, Utterance], people: People) -> dict[str, Any]:
    """Return what scores without the clips, and each variant's UA against labels permuted within speakers."""
    classes = list(params.manifest.classes)
    number = {name: place for place, name in enumerate(classes)}
    label_N = np.array([number[label] for label in people.labels])
    tested = [used[key] for key in people.keys]
    share_NC = _training_shares(params, used, people, number)
    speakers = [u.speaker for u in tested]
    blind = {
        "majority of the training part": ua(label_N, share_NC.argmax(axis=1)),
        "drawn by the training part's shares": by_prior(label_N, share_NC),
        **{
            f"most frequent class of the own {unit}": by_majority(label_N, [str(getattr(u, unit)) for u in tested])
            for unit in ("session", "speaker", "dialogue")
        },
    }
    rows = {}
    for name, each in runs.items():
        draws = []
        for run in each:
            predicted_N = np.array([number[stored(run)[key]] for key in people.keys])
            draws.append(permuted(label_N, predicted_N, speakers, permutations=probe.permutations, seed=probe.seed))
        rows[name] = {
            "ua": rounded(float(np.mean([run.results.metrics["pooled"]["ua"] for run in each]))),
            "permuted": rounded(float(np.mean([one.mean for one in draws]))),
            "highest": rounded(max(one.highest for one in draws)),
            "p": rounded(max(one.p for one in draws)),
        }
    return {"blind": {name: rounded(value) for name, value in blind.items()}, "permuted": rows}


def _training_shares(
    params: Params, used: Mapping[str, Utterance], people: People, number: Mapping[str, int]
) -> np.ndarray:
    """Return for each tested utterance the shares of the classes in the training part of its fold, [N, C]."""
    groups, folds = folds_of(params, list(used.values()), "dev")
    share_of: dict[str, np.ndarray] = {}
    for fold in folds:
        training = [number[str(u.label)] for u in used.values() if groups[u.key] in fold.train]
        counts_C = np.bincount(training, minlength=len(number))
        share_of |= dict.fromkeys(fold.test, counts_C / counts_C.sum())
    return np.array([share_of[groups[key]] for key in people.keys])


def raters(params: Params, runs: Runs, used: Mapping[str, Utterance], people: People) -> dict[str, Any] | None:
    """Return agreement, scores by agreement, soft cross-entropy and the held-out rater; None without votes."""
    classes = params.manifest.classes
    votes = {key: given for key in people.keys if (given := _votes(params, used[key]))}
    agreed = {key: unanimous(each, classes) for key, each in votes.items()}
    parts = {
        "unanimous": {key for key, one in agreed.items() if one},
        "split": {key for key, one in agreed.items() if one is False},
    }
    if not any(parts.values()):
        return None
    soft = {key: kept for key in votes if (kept := _kept(shares(votes[key], classes)))}
    share_NC = np.array([[each.get(name, 0.0) for name in classes] for each in soft.values()])
    rows: dict[str, dict[str, Any]] = {}
    for name, each in runs.items():
        row: dict[str, Any] = {part: _ua_on(each, sorted(keys)) for part, keys in parts.items()}
        if soft:
            values = [np.array([run.results.rows[key]["probabilities"] for key in soft]) for run in each]
            pairs = [soft_cross_entropy(probability_NC, share_NC) for probability_NC in values]
            row |= {"soft": rounded(float(np.mean([one for one, _ in pairs]))), "least": rounded(pairs[0][1])}
        rows[name] = row
    top = ceiling(list(votes.values()), classes)
    return {
        **{part: len(keys) for part, keys in parts.items()},
        "without": len(people.keys) - sum(map(len, parts.values())),
        "soft_utterances": len(soft),
        "outside": rounded(float(np.mean([shares(each, classes).get(OUTSIDE, 0.0) for each in votes.values()]))),
        "variants": rows,
        "ceiling": None if top is None else asdict(top) | {"ua": rounded(top.ua), "wa": rounded(top.wa)},
    }


def _votes(params: Params, utterance: Utterance) -> Votes:
    """Return the votes of an utterance that judge what the label is of."""
    if params.reader != "cremad":
        return utterance.votes
    shown = SHOWN.get(str(params.manifest.labels), SHOWN["both"])
    return [vote for vote in utterance.votes if vote[0].startswith(shown)]


def _kept(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of the classes alone, 1 in all; {} where no vote names a class."""
    inside = {name: weight for name, weight in weights.items() if name != OUTSIDE}
    total = sum(inside.values())
    return {name: weight / total for name, weight in inside.items()}


def _ua_on(runs: Sequence[Probed], keys: Sequence[str]) -> float | None:
    """Return the mean UA over the seeds on some utterances."""
    if not keys:
        return None
    rows = [[run.results.rows[key] for key in keys] for run in runs]
    each = [ua(np.array([row["label"] for row in one]), np.array([row["predicted"] for row in one])) for one in rows]
    return rounded(float(np.mean(each)))


def _curve(
    runs: Runs, people: People, curve: Mapping[int, Mapping[str, Sequence[Mapping[str, str]]]]
) -> dict[str, Any] | None:
    """Return UA by the number of training sessions, the last of which are all; None without a learning curve."""
    if not curve:
        return None
    whole = {name: [stored(run) for run in each] for name, each in runs.items()}
    return {
        sessions: {name: _score_and_spread(people, each) for name, each in by_variant.items()}
        for sessions, by_variant in {**{str(k): v for k, v in sorted(curve.items())}, "all": whole}.items()
    }


def _score_and_spread(people: People, seeds: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    every = [people.right(predicted) for predicted in seeds]
    each = [people.over([one]).estimate for one in every]
    return _score(people.over(every)) | {"seed_sd": mean_sd(each)["sd"] if len(each) > 1 else None}
