"""Aggregates runs: means over seeds, intervals over clusters, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foalnet.config.blocks import HALF, Report
from foalnet.evidence.metrics import METRICS, SHOWN, mean_sd, rounded
from foalnet.evidence.report.gather import Facts, Run
from foalnet.evidence.stats import Difference, Interval, Metric, difference, interval

# Input of a single-modality variant: it selects the best possible score to compare with. All others see both.
SEES = {"audio_only": "sound", "video_only": "picture"}
# Metrics with an interval: foalnet.evidence.stats draws clusters for these.
RESAMPLED: tuple[Metric, ...] = ("ua", "wa")


@dataclass(frozen=True, kw_only=True)
class Result:
    """Scores of one variant: means over its seeds; `confusion` is summed over them; `means` has every metric by key.

    `frozen` names the variants that trained its encoders (`train.encoders: single`); empty where it trains its own.
    """

    variant: str
    seeds: tuple[int, ...]
    n: int
    ua: Interval
    wa: Interval
    means: Mapping[str, float]
    recall: Mapping[str, float | None]
    support: Mapping[str, int]
    confusion: tuple[tuple[int, ...], ...]
    ece: float
    bins: tuple[Mapping[str, Any], ...]
    folds: Mapping[str, Mapping[str, Any]]
    over_folds: Mapping[str, Mapping[str, float]]
    best: float | None
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences of UA and WA, a minus b, over the `n` utterances that both predicted."""

    a: str
    b: str
    n: int
    ua: Difference
    wa: Difference


def results(facts: Facts) -> list[Result]:
    """Return one Result per variant, in the order of params."""
    return [_result(runs, facts) for runs in facts.runs.values()]


def _result(runs: Sequence[Run], facts: Facts) -> Result:
    pooled = [run.metrics["pooled"] for run in runs]
    keys = sorted(set.intersection(*(set(run.rows) for run in runs)))
    variant = runs[0].variant
    best = facts.best_possible.get(SEES.get(variant.removesuffix(HALF), "both")) if facts.best_possible else None
    scored = {metric: score(runs, keys, metric, facts.params.report) for metric in RESAMPLED}
    return Result(
        variant=variant,
        seeds=tuple(run.seed for run in runs),
        n=len(keys),
        means={metric.key: _mean([p[metric.key] for p in pooled]) for metric in METRICS},
        recall={
            name: None if pooled[0]["recall"][name] is None else _mean([p["recall"][name] for p in pooled])
            for name in pooled[0]["recall"]
        },
        support=pooled[0]["support"],
        confusion=tuple(
            tuple(sum(p["confusion"][i][j] for p in pooled) for j in range(len(facts.classes)))
            for i in range(len(facts.classes))
        ),
        ece=_mean([p["calibration"]["ece"] for p in pooled]),
        bins=_bins([p["calibration"]["bins"] for p in pooled]),
        folds=_folds(runs),
        over_folds={
            name: mean_sd([fold[name] for run in runs for fold in run.metrics["folds"].values()])
            for name in ("ua", "wa")
        },
        best=best,
        frozen=tuple(sorted({name.rpartition("-s")[0] for name in runs[0].metrics["train"].get("encoders", {})})),
        **scored,
    )


def _mean(values: Sequence[float]) -> float:
    return rounded(sum(values) / len(values))


def _bins(tables: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Mapping[str, Any], ...]:
    """Pool the calibration bins of several seeds, weighted by their counts."""
    pooled: list[Mapping[str, Any]] = []
    for rows in zip(*tables, strict=True):
        count = sum(row["n"] for row in rows)
        row: dict[str, Any] = {"low": rows[0]["low"], "high": rows[0]["high"], "n": count}
        for name in ("accuracy", "confidence"):
            row[name] = rounded(sum(r["n"] * r[name] for r in rows if r["n"]) / count) if count else None
        pooled.append(row)
    return tuple(pooled)


def _folds(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return fold -> mean UA and WA over seeds, n, and the chosen epochs by seed."""
    table = {}
    for name in sorted(runs[0].metrics["folds"]):
        rows = [run.metrics["folds"][name] for run in runs]
        table[name] = {
            "ua": _mean([row["ua"] for row in rows]),
            "wa": _mean([row["wa"] for row in rows]),
            "n": rows[0]["n"],
            "absent": rows[0]["absent"],
            "epochs": [row["epoch"] for row in rows],
            "epochs_run": [row["epochs_run"] for row in rows],
        }
    return table


def _correctness(runs: Sequence[Run], keys: Sequence[str]) -> list[float]:
    """Return each utterance's correctness, averaged over seeds."""
    return [sum(run.rows[key]["label"] == run.rows[key]["predicted"] for run in runs) / len(runs) for key in keys]


def _clusters(run: Run, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the cluster and the label of each utterance."""
    cluster = run.metrics["cluster"]
    return [run.rows[key][cluster] for key in keys], [run.rows[key]["label"] for key in keys]


def score(runs: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return UA or WA of one variant, averaged over its seeds, with its interval over clusters."""
    return interval(
        _correctness(runs, keys),
        *_clusters(runs[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        seed=params.seed,
    )


def gap(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return a minus b on the same utterances with its interval; both may come from one training run."""
    return interval(
        [one - other for one, other in zip(_correctness(a, keys), _correctness(b, keys), strict=True)],
        *_clusters(a[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        seed=params.seed,
        bounds=(-1.0, 1.0),
    )


def comparisons(facts: Facts) -> list[Comparison]:
    """Return the comparisons of `report.compare` whose variants were both trained."""
    return [
        compare(a, facts.runs[a], b, facts.runs[b], facts.params.report)
        for a, b in facts.params.report.compare
        if a in facts.runs and b in facts.runs
    ]


def compare(a: str, a_runs: Sequence[Run], b: str, b_runs: Sequence[Run], params: Report) -> Comparison:
    """Return the differences a minus b over the utterances that all their runs predicted."""
    keys = sorted(set.intersection(*(set(run.rows) for run in (*a_runs, *b_runs))))
    ua, wa = (gain(a_runs, b_runs, keys, metric, params) for metric in RESAMPLED)
    return Comparison(a=a, b=b, n=len(keys), ua=ua, wa=wa)


def gain(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Difference:
    """Return a minus b on these utterances, with its interval and the p value of a sign-flip test over clusters."""
    return difference(
        _correctness(a, keys),
        _correctness(b, keys),
        *_clusters(a[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        permutations=params.permutations,
        seed=params.seed,
    )


def aggregate(facts: Facts, table: Sequence[Result], pairs: Sequence[Comparison]) -> dict[str, Any]:
    """Return the contents of metrics.json: scores and counts, nothing about single utterances."""
    variants: dict[str, Any] = {}
    for result in table:
        row: dict[str, Any] = {"n": result.n, "seeds": len(result.seeds)}
        row |= {**result.means, **score_row("ua", result.ua), **score_row("wa", result.wa), "ece": result.ece}
        row |= {"ua_folds_mean": result.over_folds["ua"]["mean"], "ua_folds_sd": result.over_folds["ua"]["sd"]}
        row |= {} if result.best is None else {"ua_best_possible": rounded(result.best)}
        variants[result.variant] = row | ({"frozen_encoders_of": list(result.frozen)} if result.frozen else {})
    return {
        "schema": 1,
        "corpus": facts.params.corpus,
        "protocol": facts.first.metrics["protocol"],
        "classes": len(facts.classes),
        "level": facts.params.report.level,
        "data": {
            "utterances": table[0].n,
            "clusters": table[0].ua.clusters,
            "cluster": facts.first.metrics["cluster"],
            "speakers": len({row["speaker"] for row in facts.first.rows.values()}),
        },
        "variants": variants,
        "differences": {f"{pair.a}_minus_{pair.b}": gap_row("ua", pair.ua) for pair in pairs},
    }


def few(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the contents of headline.json: the main figures of each variant and each difference."""
    scores = ("ua_low", "ua_high", *(metric.key for metric in SHOWN))
    headline = {name: {key: row[key] for key in scores} for name, row in metrics["variants"].items()}
    return headline | dict(metrics["differences"])


def score_row(metric: str, value: Interval) -> dict[str, float]:
    """Return an estimate and its bounds under metrics.json's keys: ua, ua_low, ua_high."""
    return {
        metric: rounded(value.estimate),
        f"{metric}_low": rounded(value.low),
        f"{metric}_high": rounded(value.high),
    }


def gap_row(metric: str, value: Difference) -> dict[str, float]:
    """Return a paired difference under metrics.json's keys: those of `score_row`, and its p value."""
    return score_row(metric, value.interval) | {f"{metric}_p": rounded(value.p)}
